/**
 * Requests to a vault over one HTTP/2 connection, opened when it is first needed and again when it broke. Every verb may be repeated without harm (objects are
 * never replaced), so a request whose connection ended without an answer is tried once more.
 */
import http2 from 'node:http2';
import type { ErrorCode, ErrorDetails } from '../errors.js';
import * as errors from '../errors.js';
import { Header, MAX_SESSION_MEMORY_MIB, type Verb, WINDOW_BYTES, type WireError } from './vault-protocol.js';
import { openTransport, type Transport, type VaultPlace } from './vault-transport.js';

export interface Answer {
  readonly headers: http2.IncomingHttpHeaders;
  readonly bytes: Uint8Array;
}

interface Connection {
  readonly session: http2.ClientHttp2Session;
  readonly transport: Transport;
}

/** The connection ended before there was an answer. */
class Unanswered extends Error {}

const IDLE_MS = 10 * 60_000;

export class VaultClient {
  readonly place: VaultPlace;
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;
  /** A connection that was begun for the first request. */
  #begun: Transport | undefined;
  #closed = false;

  constructor(place: VaultPlace, begun?: Transport) {
    this.place = place;
    this.#begun = begun;
  }

  /**
   * One request. `parts` is the body of a put; it must not change until the answer is there.
   *
   * @throws the error that the vault answered with; StoreError when there is no answer
   */
  async request(
    verb: Verb,
    headers: Readonly<Record<string, string>>,
    what: string,
    parts?: readonly Uint8Array[],
  ): Promise<Answer> {
    for (let attempt = 0; ; attempt++) {
      let connection: Connection | undefined;
      try {
        connection = await this.#connected();
        const answer = await this.#exchange(connection.session, verb, headers, parts);
        if (Number(answer.headers[':status']) === 200) return answer;
        throw answeredError(answer, what);
      } catch (error) {
        if (!(error instanceof Unanswered)) throw error;
        const reason = (await connection?.transport.reason()) ?? '';
        this.#drop(connection);
        if (attempt > 0 || this.#closed || reason !== '')
          throw new errors.StoreError(what, 'reach the vault for', new Error(reason || error.message, { cause: error }));
      }
    }
  }

  /** The connection, made anew when there is none that works. */
  async #connected(): Promise<Connection> {
    const known = this.#connection;
    if (known !== undefined && !known.session.closed && !known.session.destroyed) return known;
    if (this.#closed) throw new errors.StoreError(this.place.location, 'use', new Error('the store is closed'));
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return await this.#connecting;
  }

  async #connect(): Promise<Connection> {
    const begun = this.#begun;
    this.#begun = undefined;
    const transport = begun === undefined || begun.stream.destroyed ? await openTransport(this.place) : begun;
    const session = http2.connect('http://vault', {
      createConnection: () => transport.stream,
      maxSessionMemory: MAX_SESSION_MEMORY_MIB,
      settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
    });
    session.on('connect', () => session.setLocalWindowSize(WINDOW_BYTES));
    // What goes wrong with a connection is told by the requests on it.
    session.on('error', () => undefined);
    transport.stream.on('error', () => undefined);
    session.setTimeout(IDLE_MS, () => session.close());
    const connection = { session, transport };
    this.#connection = connection;
    if (this.#closed) this.#drop(connection);
    return connection;
  }

  #drop(connection: Connection | undefined): void {
    if (connection === undefined) return;
    if (this.#connection === connection) this.#connection = undefined;
    connection.session.destroy();
    connection.transport.close();
  }

  #exchange(
    session: http2.ClientHttp2Session,
    verb: Verb,
    headers: Readonly<Record<string, string>>,
    parts: readonly Uint8Array[] | undefined,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      let stream: http2.ClientHttp2Stream;
      const unanswered = (error?: Error): void => reject(new Unanswered(error?.message ?? 'the connection was closed'));
      try {
        stream = session.request({ ':method': 'POST', ':path': verb, ...headers }, { endStream: parts === undefined });
      } catch (error) {
        unanswered(error as Error);
        return;
      }
      let answered: http2.IncomingHttpHeaders | undefined;
      let bytes = new Uint8Array(0);
      let length = 0;
      stream.on('response', (incoming) => {
        answered = incoming;
        const size = Number(incoming[Header.size]);
        if (Number.isSafeInteger(size) && size > 0 && size <= 1 << 28) bytes = new Uint8Array(size);
      });
      stream.on('data', (chunk: Buffer) => {
        if (length + chunk.byteLength > bytes.byteLength) {
          const grown = new Uint8Array(Math.max(2 * bytes.byteLength, length + chunk.byteLength, 4096));
          grown.set(bytes.subarray(0, length));
          bytes = grown;
        }
        bytes.set(chunk, length);
        length += chunk.byteLength;
      });
      let ended = false;
      const answer = (): void => {
        if (answered === undefined) return;
        const size = answered[Header.size];
        if (size !== undefined && Number(size) !== length) unanswered(new Error('the answer ended too early'));
        else resolve({ headers: answered, bytes: length === bytes.byteLength ? bytes : bytes.slice(0, length) });
      };
      stream.on('end', () => {
        ended = true;
        if (parts === undefined) answer();
      });
      let failure: Error | undefined;
      stream.on('error', (error: Error) => {
        failure = error;
      });
      // An answer may come before all of a body was sent, and the rest is then refused. Until the stream is closed the body is still in use.
      stream.on('close', () => {
        if (!ended || answered === undefined) unanswered(failure);
        else if (parts !== undefined) answer();
      });
      if (parts !== undefined) {
        stream.cork();
        for (const part of parts) if (part.byteLength > 0) stream.write(part);
        stream.end();
        stream.uncork();
      }
    });
  }

  /** Ends the connection at once: all that matters was answered, and a farewell would have to go through ssh, the forced command and the vault and back. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#begun?.close();
    this.#drop(this.#connection);
  }
}

const CODES: Readonly<Record<string, (message: string, details: ErrorDetails) => Error>> = {
  NOT_FOUND: (message, { what, name }) => new errors.NotFoundError(String(what ?? 'object'), String(name ?? ''), message),
  OBJECT_EXISTS: (_, { object }) => new errors.ObjectExistsError(String(object ?? 'object')),
  REFUSED: (message, details) => new errors.RefusedError(message, details),
  BUSY: (message, { what }) => new errors.BusyError(String(what ?? 'vault'), message),
};

function answeredError({ headers, bytes }: Answer, what: string): Error {
  try {
    const { code, message, details = {} } = JSON.parse(Buffer.from(bytes).toString('utf8')) as WireError;
    if (typeof code !== 'string' || typeof message !== 'string') throw new Error('no error');
    return CODES[code]?.(message, details) ?? new errors.VarveError(code as ErrorCode, message, details);
  } catch {
    return new errors.StoreError(what, 'ask the vault for', new Error(`it answered with status ${headers[':status']}`));
  }
}
