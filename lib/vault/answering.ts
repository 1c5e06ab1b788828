/**
 * Answers going out: produced piece by piece as they are read, and counted against what their connection may make the vault hold. The first piece is small, so that a
 * client that reads nothing costs little; those behind it grow while they are read. Knows no verbs.
 */
import http2 from 'node:http2';
import { VarveError } from '../errors.js';
import { Header, type WireError } from '../store/vault-protocol.js';
import type { Account } from './holdings.js';

const FIRST_PIECE_BYTES = 16 << 10;
const MAX_PIECE_BYTES = 1 << 20;
const MAX_TEXT = 4096;
const MAX_LIST = 16;

/** A long answer, whose size is known before it is produced. */
export interface Answer {
  readonly sizeBytes: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** No piece needs to be larger. */
  readonly pieceBytes?: number;
  /** The next at most `bytes` bytes; fewer, or none, end the answer too early, which the client notices. */
  next(bytes: number): Uint8Array | Promise<Uint8Array>;
}

/** The connection's account and a stream of it. */
export interface Outlet {
  readonly account: Account;
  readonly stream: http2.ServerHttp2Stream;
}

const isGone = ({ destroyed, closed }: http2.ServerHttp2Stream): boolean => destroyed || closed;

/** Sends an answer, each piece when the one before is on its way. */
export async function sendAnswer(outlet: Outlet, answer: Answer): Promise<void> {
  const { account, stream } = outlet;
  const { sizeBytes, headers = {}, pieceBytes = MAX_PIECE_BYTES } = answer;
  for (let sent = 0, room = Math.min(FIRST_PIECE_BYTES, pieceBytes); ; room = Math.min(room * 4, pieceBytes)) {
    const wanted = Math.min(room, sizeBytes - sent);
    const release = await account.hold(wanted, stream);
    if (release === undefined) return;
    let piece: Uint8Array;
    try {
      piece = await answer.next(wanted);
    } catch (error) {
      release();
      throw error;
    }
    if (isGone(stream)) return release();
    if (sent === 0) stream.respond({ ':status': 200, [Header.size]: String(sizeBytes), ...headers });
    sent += piece.byteLength;
    if (sent >= sizeBytes || piece.byteLength < wanted) {
      stream.end(piece, release);
      return;
    }
    const went = await written(stream, piece);
    release();
    if (!went) return;
  }
}

/** Sends bytes that `make` gives as soon as `atMostBytes` may be held. */
export async function sendMade(
  { account, stream }: Outlet,
  atMostBytes: number,
  make: () => Promise<{ readonly bytes: Uint8Array; readonly headers?: Readonly<Record<string, string>> }>,
): Promise<void> {
  const release = await account.hold(atMostBytes, stream);
  if (release === undefined) return;
  try {
    const { bytes, headers = {} } = await make();
    if (isGone(stream)) return release();
    stream.respond({ ':status': 200, [Header.size]: String(bytes.byteLength), ...headers });
    stream.end(bytes, release);
  } catch (error) {
    release();
    throw error;
  }
}

/** Sends plain data. */
export async function sendJson(outlet: Outlet, value: unknown): Promise<void> {
  const bytes = Buffer.from(JSON.stringify(value));
  await sendMade(outlet, bytes.byteLength, async () => ({ bytes }));
}

/** @returns false when the client went away */
function written(stream: http2.ServerHttp2Stream, bytes: Uint8Array): Promise<boolean> {
  return new Promise((resolve) => {
    if (isGone(stream)) return resolve(false);
    const closed = (): void => resolve(false);
    stream.once('close', closed);
    stream.write(bytes, (error) => {
      stream.off('close', closed);
      resolve(error === undefined || error === null);
    });
  });
}

const cut = (text: string): string => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text);

/** An error as it is sent: what an error says may depend on how much there is of what is wrong. */
function wireOf({ code, message, details }: VarveError): WireError {
  const short = Object.entries(details).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.slice(0, MAX_LIST).map(cut) : typeof value === 'string' ? cut(value) : value,
  ]);
  return { code, message: cut(message), details: Object.fromEntries(short) };
}

/** Answers with an error. What came of the request is not read any more. */
export async function sendError({ account, stream }: Outlet, error: unknown, onLog: (line: string) => void): Promise<void> {
  if (isGone(stream)) return;
  if (stream.headersSent) return stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
  if (!(error instanceof VarveError)) onLog(`a request failed: ${(error as Error).stack ?? String(error)}`);
  const wire: WireError =
    error instanceof VarveError ? wireOf(error) : { code: 'FAILED', message: 'the vault failed at this; its log says why' };
  const bytes = Buffer.from(JSON.stringify(wire));
  // Reading on what a client still sends lets its answer through; the window is all that can come.
  stream.resume();
  const release = await account.hold(bytes.byteLength, stream);
  if (release === undefined || isGone(stream)) return;
  try {
    stream.respond({ ':status': wire.code === 'NOT_FOUND' ? 404 : 400, [Header.size]: String(bytes.byteLength) });
    stream.end(bytes, () => {
      release();
      if (!stream.readableEnded) stream.close(http2.constants.NGHTTP2_NO_ERROR);
    });
  } catch {
    stream.destroy();
  }
}
