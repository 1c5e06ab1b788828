/**
 * Which session stored each pack, as far as somebody wants to know. It stands in the header of the pack, which never changes, so what was read once is kept in a private
 * file of the cache folder: a second plan reads the headers of packs that came since. The file may be deleted at any time; one that is damaged counts for nothing.
 */

import { randomBytes } from 'node:crypto';
import { open, readFile, rename, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { equalBytes, toHex, utf8 } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { CorruptError, NewerFormatError, NotFoundError } from '../errors.js';
import { makeFolders } from '../folders.js';
import { packNameOf } from '../format/names.js';
import { PACK_HEADER_BYTES, sessionOfPackHeader } from '../format/pack.js';
import type { Store } from '../store/store.js';
import type { PackTable } from './pack-table.js';

const FILE = 'pack-sessions';
const LABEL = utf8('varve pack sessions 1\n');
const SESSION_BYTES = 16;
const ROW_BYTES = 32 + SESSION_BYTES;
const DIGEST_BYTES = 32;

export class PackSessions {
  readonly #table: PackTable;
  readonly #path: string | undefined;
  /** Hex by pack number; a hole: not read, or not to be read. */
  readonly #known: string[] = [];
  readonly #failed = new Set<number>();
  /** One string for each session, however many packs it has. */
  readonly #names = new Map<string, string>();
  #learned = 0;

  private constructor(table: PackTable, cacheDir: string | undefined) {
    this.#table = table;
    this.#path = cacheDir === undefined || cacheDir === '' ? undefined : join(cacheDir, FILE);
  }

  /** @param cacheDir - of this repository; absent, everything is read each time */
  static async open(table: PackTable, cacheDir: string | undefined): Promise<PackSessions> {
    const sessions = new PackSessions(table, cacheDir);
    await sessions.#load();
    return sessions;
  }

  /** The session of a pack, hex; undefined if it was not read or could not be. */
  of(number: number): string | undefined {
    return this.#known[number];
  }

  /**
   * Reads the sessions of the packs that are wanted and not known. One that is damaged or gone stays unknown.
   *
   * @param breathe - called before each read
   * @throws StoreError
   */
  async read(store: Store, wanted: (number: number) => boolean, breathe: () => Promise<void> | undefined): Promise<void> {
    for (let number = 0; number < this.#table.count; number++) {
      if (this.#known[number] !== undefined || this.#failed.has(number) || !wanted(number)) continue;
      await breathe();
      const name = packNameOf(this.#table.hex(number));
      try {
        const header = await store.get(name, { offset: 0, length: PACK_HEADER_BYTES });
        this.#note(number, sessionOfPackHeader(header, name));
        this.#learned++;
      } catch (error) {
        if (!(error instanceof CorruptError || error instanceof NewerFormatError || error instanceof NotFoundError)) throw error;
        this.#failed.add(number);
      }
    }
  }

  #note(number: number, session: Uint8Array): void {
    const hex = toHex(session);
    let name = this.#names.get(hex);
    if (name === undefined) this.#names.set(hex, (name = hex));
    this.#known[number] = name;
  }

  async #load(): Promise<void> {
    if (this.#path === undefined) return;
    let bytes: Uint8Array;
    try {
      bytes = await readFile(this.#path);
    } catch {
      return;
    }
    const end = bytes.byteLength - DIGEST_BYTES;
    if (end < LABEL.byteLength || (end - LABEL.byteLength) % ROW_BYTES !== 0) return;
    const rows = bytes.subarray(0, end);
    if (!equalBytes(rows.subarray(0, LABEL.byteLength), LABEL) || !equalBytes(sha256(rows), bytes.subarray(end))) return;
    for (let at = LABEL.byteLength; at < end; at += ROW_BYTES) {
      const number = this.#table.find(rows, at);
      if (number >= 0) this.#note(number, rows.subarray(at + 32, at + ROW_BYTES));
    }
  }

  /** Writes down what was learned. A failure costs the next plan its time, so nobody is told. */
  async save(): Promise<void> {
    if (this.#path === undefined || this.#learned === 0) return;
    this.#learned = 0;
    const count = this.#known.reduce((sum) => sum + 1, 0);
    const bytes = new Uint8Array(LABEL.byteLength + count * ROW_BYTES + DIGEST_BYTES);
    bytes.set(LABEL);
    let at = LABEL.byteLength;
    this.#known.forEach((session, number) => {
      bytes.set(this.#table.id(number), at);
      bytes.set(Buffer.from(session, 'hex'), at + 32);
      at += ROW_BYTES;
    });
    bytes.set(sha256(bytes.subarray(0, at)), at);
    const temporary = `${this.#path}.${process.pid}-${toHex(randomBytes(6))}`;
    try {
      makeFolders(dirname(this.#path));
      const file = await open(temporary, 'wx', 0o600);
      try {
        await file.writeFile(bytes);
      } finally {
        await file.close();
      }
      await rename(temporary, this.#path);
    } catch {
      await unlink(temporary).catch(() => undefined);
    }
  }
}
