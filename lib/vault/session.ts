/**
 * One client's HTTP/2 connection: requests in, answers out, with limits on all that a client can make the vault hold or wait for. Whatever a client sends, the worst that
 * happens is the end of its connection.
 */
import http2 from 'node:http2';
import type { Duplex } from 'node:stream';
import { VarveError } from '../errors.js';
import { MAX_SESSION_MEMORY_MIB, nameOfRef, pageBytes, Verb, WINDOW_BYTES } from '../store/vault-protocol.js';
import type { Caller } from './accept.js';
import { type Outlet, sendAnswer, sendError, sendJson, sendMade } from './answering.js';
import type { Guard } from './guard.js';
import { listObjects, readEntries, readHeads } from './listing.js';
import { sendPruned } from './prune-request.js';
import { rangeAnswer, rangeOf, statObject } from './reading.js';
import { removeObject } from './removing.js';
import { replaceDamaged } from './replacing.js';
import { parseRequest, type Request } from './requests.js';
import { putObject } from './storing.js';

export interface SessionLimits {
  /** Streams at a time. */
  readonly streams: number;
  /** Between the connection and its first request. */
  readonly firstRequestMs: number;
  /** Without any request. */
  readonly idleMs: number;
  /** Of a request, without a byte either way … */
  readonly stallMs: number;
  /** … and altogether. */
  readonly requestMs: number;
  /** Of a request, before its connection may be ended for another's sake while it finishes no other. */
  readonly heldMs: number;
  /** How much a client may send ahead. */
  readonly windowBytes: number;
}

export const LIMITS: SessionLimits = {
  streams: 32,
  firstRequestMs: 20_000,
  idleMs: 15 * 60_000,
  stallMs: 60_000,
  requestMs: 60 * 60_000,
  heldMs: 5 * 60_000,
  windowBytes: WINDOW_BYTES,
};

const HEADER_BYTES = 8192;

/** What a connection is used for. */
export interface Use {
  /** Whether any request of it was in order. */
  answered: boolean;
  /** Requests under way. */
  running: number;
  /** Since when it has been as it is: when a request was last finished, or begun where none ran. `performance.now()`. */
  sinceMs: number;
}

export interface Session {
  readonly use: Readonly<Use>;
  /** Ends it from this side. */
  end(): void;
}

/** Serves `socket` until it ends. */
export function serveSession(guard: Guard, caller: Caller, socket: Duplex, limits: SessionLimits = LIMITS): Session {
  const session = http2.performServerHandshake(socket, {
    maxSessionMemory: MAX_SESSION_MEMORY_MIB,
    maxSettings: 16,
    maxOutstandingPings: 4,
    maxHeaderListPairs: 32,
    settings: {
      enablePush: false,
      maxConcurrentStreams: limits.streams,
      initialWindowSize: limits.windowBytes,
      maxHeaderListSize: HEADER_BYTES,
    },
  });
  const end = (): void => {
    account.close();
    session.destroy();
    socket.destroy();
  };
  const account = guard.accountOf(caller, end);
  session.once('close', () => account.close());
  session.on('error', end);
  socket.on('error', end);
  session.on('frameError', end);
  session.setLocalWindowSize(limits.windowBytes);
  const first = setTimeout(end, limits.firstRequestMs);
  session.once('close', () => clearTimeout(first));
  session.setTimeout(limits.idleMs, end);
  const use: Use = { answered: false, running: 0, sinceMs: performance.now() };
  session.on('stream', (stream, headers) => {
    clearTimeout(first);
    if (use.running++ === 0) use.sinceMs = performance.now();
    stream.once('close', () => {
      use.running--;
      use.sinceMs = performance.now();
    });
    void serveStream(guard, caller, { account, stream }, headers, limits).then((inOrder) => {
      use.answered ||= inOrder;
    });
  });
  return { use, end };
}

/** @returns whether the request was one that is answered */
async function serveStream(
  guard: Guard,
  caller: Caller,
  outlet: Outlet,
  headers: http2.IncomingHttpHeaders,
  limits: SessionLimits,
): Promise<boolean> {
  const { stream } = outlet;
  // An error of a stream is the client's affair; without a listener it would end the process.
  stream.on('error', () => undefined);
  stream.setTimeout(limits.stallMs, () => stream.close(http2.constants.NGHTTP2_CANCEL));
  const deadline = setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), limits.requestMs);
  stream.once('close', () => clearTimeout(deadline));
  try {
    await answer(guard, caller, outlet, parseRequest(headers));
    return true;
  } catch (error) {
    await sendError(outlet, error, guard.options.onLog ?? (() => undefined));
    return false;
  }
}

async function answer(guard: Guard, caller: Caller, outlet: Outlet, request: Request): Promise<void> {
  switch (request.verb) {
    case Verb.hello:
      return await sendJson(outlet, guard.hello(caller));
    case Verb.heads:
      return await sendAnswer(outlet, readHeads(guard, caller));
    case Verb.stat: {
      const { sizeBytes, storedMs } = await statObject(guard, caller, request.ref);
      const headers = { 'varve-object-size': String(sizeBytes), 'varve-stored': String(Math.floor(storedMs)) };
      return await sendMade(outlet, 0, async () => ({ bytes: new Uint8Array(0), headers }));
    }
    case Verb.list:
      return await sendMade(outlet, pageBytes(request.kind), async () => {
        const { page, next } = await listObjects(guard, caller, request.kind, request.from, request.author);
        return { bytes: page, headers: next === undefined ? {} : { 'varve-next': String(next) } };
      });
    case Verb.entries:
      return await sendAnswer(outlet, readEntries(guard, caller, request.author, request.sequence));
    case Verb.get: {
      const { offset, length } = await rangeOf(guard, caller, request.ref, request.range);
      return await sendAnswer(outlet, rangeAnswer(guard.store, nameOfRef(request.ref), offset, length));
    }
    case Verb.put:
      // A refusal in the middle of a body must still be answered.
      return await sendJson(
        outlet,
        await putObject(guard, caller, request.ref, request.sizeBytes, outlet.stream.iterator({ destroyOnReturn: false })),
      );
    case Verb.replaceDamaged:
      await replaceDamaged(guard, caller, request.ref, request.sizeBytes, outlet.stream.iterator({ destroyOnReturn: false }));
      return await sendJson(outlet, {});
    case Verb.remove:
      await removeObject(guard, caller, request.ref);
      return await sendJson(outlet, {});
    case Verb.prune:
      if (caller.role !== 'admin')
        throw new VarveError('ROLE', `a connection with the ${caller.role} role may not prune`, { role: caller.role });
      return await sendPruned(guard, outlet, request.step);
  }
}
