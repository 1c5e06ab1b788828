/**
 * What a command says: lines for people or JSON lines for programs on stdout, warnings on stderr. Data goes to stdout only. When the reader of stdout
 * goes away, listing ends quietly and work goes on.
 */
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { safeText } from './human.js';

export const SCHEMA = 1;
const FLUSH_BYTES = 1 << 16;
/** How long a loop that prints may keep signals waiting: writing to a file or a pipe does not let the event loop have its turn. */
const SLICE_MS = 20;

/** Thrown when nobody reads what is being printed. main.ts ends the command without a word. */
export class OutputClosed extends Error {}

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
}

export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly #pending: Buffer[] = [];
  #pendingBytes = 0;
  #closed = false;
  #sliceEnd = 0;
  /** Printing above a progress bar would tear it. */
  beforeStderr: (() => void) | undefined;

  constructor(options: OutputOptions) {
    this.json = options.json;
    this.quiet = options.quiet;
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      this.#closed = true;
    });
    process.stderr.on('error', () => undefined);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * One line for people; nothing in JSON. Bytes are names from a file system: as they are for a pipe or file, made safe for a terminal, where they could
   * otherwise steer it.
   */
  text(...parts: readonly (string | Uint8Array)[]): void {
    if (this.json) return;
    for (const part of parts) this.#add(typeof part === 'string' ? part : process.stdout.isTTY ? safeText(part) : part);
    this.#add('\n');
  }

  /** As `text`, unless -q. */
  info(line: string): void {
    if (!this.quiet) this.text(line);
  }

  /** One JSON line; nothing for people. */
  record(messageType: string, fields: Readonly<Record<string, unknown>>): void {
    if (this.json) this.#add(`${JSON.stringify({ message_type: messageType, schema: SCHEMA, ...fields })}\n`);
  }

  /** A warning on stderr: a line, or a JSON object. */
  warn(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.beforeStderr?.();
    process.stderr.write(
      this.json ? `${JSON.stringify({ message_type: 'warning', schema: SCHEMA, message, ...fields })}\n` : `varve: ${message}\n`,
    );
  }

  /** Raw bytes to stdout, waiting while the reader is slow. @throws OutputClosed */
  async write(bytes: Uint8Array | string): Promise<void> {
    await this.flush();
    await this.#rest();
    if (this.#closed) throw new OutputClosed();
    if (!process.stdout.write(bytes))
      await Promise.race([once(process.stdout, 'drain'), once(process.stdout, 'close')]).catch(() => undefined);
    if (this.#closed) throw new OutputClosed();
  }

  /** Call in loops that print: hands on what is pending when it is much. @throws OutputClosed */
  async breathe(): Promise<void> {
    if (this.#closed) throw new OutputClosed();
    if (this.#pendingBytes >= FLUSH_BYTES) await this.flush();
    await this.#rest();
  }

  async #rest(): Promise<void> {
    if (performance.now() < this.#sliceEnd) return;
    await nextTurn();
    this.#sliceEnd = performance.now() + SLICE_MS;
  }

  /** Hands on everything printed so far. */
  async flush(): Promise<void> {
    const bytes = Buffer.concat(this.#pending);
    this.#pending.length = 0;
    this.#pendingBytes = 0;
    if (bytes.byteLength === 0 || this.#closed) return;
    await new Promise<void>((resolve) => process.stdout.write(bytes, () => resolve()));
  }

  #add(part: string | Uint8Array): void {
    const bytes = typeof part === 'string' ? Buffer.from(part) : Buffer.from(part.buffer, part.byteOffset, part.byteLength);
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.byteLength;
  }
}
