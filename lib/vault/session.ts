/**
 * One client's HTTP/2 connection: requests in, answers out, with limits on all that a client can make the vault hold or wait for. Whatever a client sends, the worst that
 * happens is the end of its connection.
 */
import http2 from 'node:http2';
import type { Duplex } from 'node:stream';
import { VarveError } from '../errors.js';
import { Header, MAX_SESSION_MEMORY_MIB, nameOfRef, Verb, WINDOW_BYTES, type WireError } from '../store/vault-protocol.js';
import type { Caller } from './accept.js';
import type { Guard } from './guard.js';
import { listObjects, readEntries, readHeads } from './listing.js';
import { runPrune } from './prune.js';
import { rangeOf, statObject } from './reading.js';
import { removeObject } from './removing.js';
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

const PIECE_BYTES = 1 << 20;
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
    session.destroy();
    socket.destroy();
  };
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
    void serveStream(guard, caller, stream, headers, limits).then((inOrder) => {
      use.answered ||= inOrder;
    });
  });
  return { use, end };
}

/** @returns whether the request was one that is answered */

async function serveStream(
  guard: Guard,
  caller: Caller,
  stream: http2.ServerHttp2Stream,
  headers: http2.IncomingHttpHeaders,
  limits: SessionLimits,
): Promise<boolean> {
  // An error of a stream is the client's affair; without a listener it would end the process.
  stream.on('error', () => undefined);
  stream.setTimeout(limits.stallMs, () => stream.close(http2.constants.NGHTTP2_CANCEL));
  const deadline = setTimeout(() => stream.close(http2.constants.NGHTTP2_CANCEL), limits.requestMs);
  stream.once('close', () => clearTimeout(deadline));
  try {
    await answer(guard, caller, stream, parseRequest(headers));
    return true;
  } catch (error) {
    fail(guard, stream, error);
    return false;
  }
}

async function answer(guard: Guard, caller: Caller, stream: http2.ServerHttp2Stream, request: Request): Promise<void> {
  switch (request.verb) {
    case Verb.hello:
      return sendJson(stream, guard.hello(caller));
    case Verb.heads:
      return send(stream, readHeads(guard, caller));
    case Verb.stat: {
      const { sizeBytes, storedMs } = await statObject(guard, caller, request.ref);
      const headers = { 'varve-object-size': String(sizeBytes), 'varve-stored': String(Math.floor(storedMs)) };
      return send(stream, new Uint8Array(0), headers);
    }
    case Verb.list: {
      const { page, next } = await listObjects(guard, caller, request.kind, request.from, request.author);
      return send(stream, page, next === undefined ? {} : { 'varve-next': String(next) });
    }
    case Verb.entries:
      return send(stream, await readEntries(guard, caller, request.author, request.sequence));
    case Verb.get: {
      const range = await rangeOf(guard, caller, request.ref, request.range);
      return await sendRange(guard, stream, nameOfRef(request.ref), range);
    }
    case Verb.put:
      // A refusal in the middle of a body must still be answered.
      return sendJson(
        stream,
        await putObject(guard, caller, request.ref, request.sizeBytes, stream.iterator({ destroyOnReturn: false })),
      );
    case Verb.remove:
      await removeObject(guard, caller, request.ref);
      return sendJson(stream, {});
    case Verb.prune:
      if (caller.role !== 'admin')
        throw new VarveError('ROLE', `a connection with the ${caller.role} role may not prune`, { role: caller.role });
      return sendJson(stream, await runPrune(guard, request.step));
  }
}

function send(stream: http2.ServerHttp2Stream, bytes: Uint8Array, headers: Readonly<Record<string, string>> = {}): void {
  if (stream.destroyed || stream.closed) return;
  stream.respond({ ':status': 200, [Header.size]: String(bytes.byteLength), ...headers });
  stream.end(bytes);
}

function sendJson(stream: http2.ServerHttp2Stream, value: unknown): void {
  send(stream, Buffer.from(JSON.stringify(value)));
}

/** Sends a range in pieces, each when the one before is on its way. */
async function sendRange(
  guard: Guard,
  stream: http2.ServerHttp2Stream,
  name: string,
  { offset, length }: { readonly offset: number; readonly length: number },
): Promise<void> {
  let piece = await guard.store.get(name, { offset, length: Math.min(PIECE_BYTES, length) });
  if (stream.destroyed || stream.closed) return;
  stream.respond({ ':status': 200, [Header.size]: String(length) });
  for (let sent = 0; ; ) {
    sent += piece.byteLength;
    // A file that became shorter ends the answer too early, which the client notices.
    if (sent >= length || piece.byteLength === 0) {
      stream.end(piece);
      return;
    }
    if (!(await written(stream, piece))) return;
    piece = await guard.store.get(name, { offset: offset + sent, length: Math.min(PIECE_BYTES, length - sent) });
  }
}

/** @returns false when the client went away */
function written(stream: http2.ServerHttp2Stream, bytes: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => {
    if (stream.destroyed || stream.closed) return resolve(false);
    const closed = (): void => resolve(false);
    stream.once('close', closed);
    stream.write(bytes, (error) => {
      stream.off('close', closed);
      resolve(error === undefined || error === null);
    });
  });
}

/** Answers with an error. What came of the request is not read any more. */
function fail(guard: Guard, stream: http2.ServerHttp2Stream, error: unknown): void {
  if (stream.destroyed || stream.closed) return;
  let wire: WireError;
  if (error instanceof VarveError) wire = { code: error.code, message: error.message, details: error.details };
  else {
    guard.options.onLog?.(`a request failed: ${(error as Error).stack ?? String(error)}`);
    wire = { code: 'FAILED', message: 'the vault failed at this; its log says why' };
  }
  try {
    if (stream.headersSent) stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    else {
      const bytes = Buffer.from(JSON.stringify(wire));
      stream.respond({ ':status': wire.code === 'NOT_FOUND' ? 404 : 400, [Header.size]: String(bytes.byteLength) });
      // Reading on what a client still sends lets its answer through; the window is all that can come.
      stream.resume();
      stream.end(bytes, () => {
        if (!stream.readableEnded) stream.close(http2.constants.NGHTTP2_NO_ERROR);
      });
    }
  } catch {
    stream.destroy();
  }
}
