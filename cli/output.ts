/**
 * What a command says: lines for people or JSON lines for programs on stdout, warnings on stderr. Data goes to stdout only. When the reader of stdout
 * goes away, listing ends quietly and work goes on.
 *
 * Nothing else in the program writes to either (test/adversary/terminal-text.test.ts): texts and names that others wrote may stand in every line, so every line is made safe for a
 * terminal here, wherever it goes.
 */
import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { printable, printableBytes, printableJson } from '../lib/index.js';

export const SCHEMA = 1;
const FLUSH_BYTES = 1 << 16;
/** How long a loop that prints may keep signals waiting: writing to a file or a pipe does not let the event loop have its turn. */
const SLICE_MS = 20;

/** Thrown when nobody reads what is being printed. program.ts ends the command without a word. */
export class OutputClosed extends Error {}

/** Standard output cannot be written, because its disk is full for instance. */
export class OutputError extends Error {
  constructor(cause: NodeJS.ErrnoException) {
    super(`standard output cannot be written (${cause.code ?? cause.message}); what was printed is not whole`, { cause });
    this.name = 'OutputError';
  }
}

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
}

export class Output {
  readonly json: boolean;
  readonly quiet: boolean;
  /** Where a progress bar is drawn; it holds figures of our own only. */
  readonly bar: NodeJS.WriteStream = process.stderr;
  readonly #pending: Buffer[] = [];
  #pendingBytes = 0;
  #closed = false;
  #sliceEnd = 0;
  #failed: OutputError | undefined;
  /** Printing above a progress bar would tear it. */
  beforeStderr: (() => void) | undefined;

  constructor(options: OutputOptions) {
    this.json = options.json;
    this.quiet = options.quiet;
    process.stdout.on('error', (error) => this.#fail(error));
    process.stderr.on('error', () => undefined);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Why standard output could not be written; undefined while it can be, and when its reader went away. */
  get failed(): OutputError | undefined {
    return this.#failed;
  }

  /** One line for people; nothing in JSON. Bytes are names from a file system: as they are for a pipe or file, made safe for a terminal. Texts are made safe everywhere. */
  text(...parts: readonly (string | Uint8Array)[]): void {
    if (this.json) return;
    for (const part of parts)
      this.#add(typeof part === 'string' ? printable(part) : process.stdout.isTTY ? printableBytes(part) : part);
    this.#add('\n');
  }

  /** As `text`, unless -q. */
  info(line: string): void {
    if (!this.quiet) this.text(line);
  }

  /** Lines of the program's own, help for instance: the only text that may hold line ends. */
  page(text: string): void {
    for (const line of text.replace(/\n$/, '').split('\n')) this.#add(`${printable(line)}\n`);
  }

  /** One JSON line; nothing for people. */
  record(messageType: string, fields: Readonly<Record<string, unknown>>): void {
    if (this.json) this.#add(`${printableJson({ message_type: messageType, schema: SCHEMA, ...fields })}\n`);
  }

  /** A value as indented JSON for people. */
  value(value: unknown): void {
    if (!this.json) this.#add(`${printableJson(value, 2)}\n`);
  }

  /** A warning on stderr: a line, or a JSON object. */
  warn(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#tell('warning', `varve: ${message}`, { message, ...fields });
  }

  /** How the command ended, on stderr: a line, or a JSON object. `trace`: where in the program, shown indented. */
  error(message: string, fields: Readonly<Record<string, unknown>>, trace?: string): void {
    this.#tell('exit_error', `varve: ${message}`, { ...fields, message });
    for (const line of trace?.split('\n') ?? []) process.stderr.write(`    ${printable(line.trim())}\n`);
  }

  /** How far the work is, on stderr, where no bar is drawn: a line, or a JSON object. */
  status(line: string, fields: Readonly<Record<string, unknown>>): void {
    process.stderr.write(
      this.json ? `${printableJson({ message_type: 'status', schema: SCHEMA, ...fields })}\n` : `varve: ${printable(line)}\n`,
    );
  }

  /** A question, or a word about its answer, on stderr. */
  ask(text: string, end: '' | '\n' = ''): void {
    process.stderr.write(`${printable(text)}${end}`);
  }

  /** Raw bytes to stdout, waiting while the reader is slow. @throws OutputError, also when the reader went away before it had all */
  async write(bytes: Uint8Array | string): Promise<void> {
    await this.flush();
    await this.#rest();
    this.#mustTakeData();
    if (!process.stdout.write(bytes))
      await Promise.race([once(process.stdout, 'drain'), once(process.stdout, 'close')]).catch(() => undefined);
    this.#mustTakeData();
  }

  /** Call in loops that print: hands on what is pending when it is much. @throws OutputClosed, OutputError */
  async breathe(): Promise<void> {
    this.#mustBeOpen();
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
    await new Promise<void>((resolve) =>
      process.stdout.write(bytes, (error) => {
        if (error) this.#fail(error);
        resolve();
      }),
    );
  }

  #fail(error: NodeJS.ErrnoException): void {
    if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') this.#failed ??= new OutputError(error);
    this.#closed = true;
  }

  #mustTakeData(): void {
    if (this.#failed !== undefined) throw this.#failed;
    if (this.#closed) throw new OutputError({ code: 'EPIPE', name: 'Error', message: 'its reader went away' });
  }

  #mustBeOpen(): void {
    if (this.#failed !== undefined) throw this.#failed;
    if (this.#closed) throw new OutputClosed();
  }

  #tell(messageType: string, line: string, fields: Readonly<Record<string, unknown>>): void {
    this.beforeStderr?.();
    process.stderr.write(
      this.json ? `${printableJson({ message_type: messageType, schema: SCHEMA, ...fields })}\n` : `${printable(line)}\n`,
    );
  }

  #add(part: string | Uint8Array): void {
    const bytes = typeof part === 'string' ? Buffer.from(part) : Buffer.from(part.buffer, part.byteOffset, part.byteLength);
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.byteLength;
  }
}
