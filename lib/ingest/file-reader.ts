/**
 * Has files read: small ones in batches, large ones a few at a time, those with several names once. Knows nothing of entries; each file's outcome goes to
 * whoever asked.
 */
import { NO_PACKS } from './entry-maker.js';
import { type Former, type Ingested, ingestFile } from './large-file.js';
import type { ScanRecord } from './scan-record.js';
import { GROWN, SMALL_FILE_BYTES, SmallFiles } from './small-files.js';
import type { WalkContext } from './walk-context.js';
import type { WalkNode } from './walk-node.js';

/** A file with several names: read once, forgotten when all its names were seen. */
interface LinkedFile {
  /** As it was looked at when its reading began. */
  readonly record: ScanRecord;
  outcome: Ingested | undefined;
  namesLeft: number;
  readonly waiting: { readonly done: Done; readonly readItself: () => void }[];
}

type Done = (outcome: Ingested | string) => void;

const CHANGED: Ingested = { sizeBytes: 0, digest: null, content: { kind: 'empty' }, packs: NO_PACKS, changed: true };
const MAX_LARGE = 4;

export class FileReader {
  readonly #context: WalkContext;
  readonly small: SmallFiles;
  readonly #links = new Map<string, LinkedFile>();
  #large = 0;
  #largeDone: (() => void)[] = [];

  constructor(context: WalkContext) {
    this.#context = context;
    this.small = new SmallFiles(
      context.run,
      (bytes) => context.read(bytes),
      (error) => (context.failure ??= error),
    );
  }

  /** Whether a large file is under way. */
  get busy(): boolean {
    return this.#large > 0;
  }

  /** Whether no further large file should be started for now. */
  get full(): boolean {
    return this.#large >= MAX_LARGE;
  }

  /** Resolves when the next large file is done. */
  largeDone(): Promise<void> {
    return new Promise<void>((resolve) => this.#largeDone.push(resolve));
  }

  /** Reads a file of `node`, or takes what another of its names gave. `done` gets what it became or the system's error name, perhaps at once. */
  read(node: WalkNode, record: ScanRecord, path: Uint8Array, attempt: number, former: Former | undefined, done: Done): void {
    if (record.nlink > 1) this.#linked(node, record, path, attempt, former, done);
    else this.#ingest(node, record, path, attempt, former, done);
  }

  /** One of several names of a file: its content is read once. */
  #linked(node: WalkNode, record: ScanRecord, path: Uint8Array, attempt: number, former: Former | undefined, done: Done): void {
    const key = `${record.device}:${record.ino}`;
    const first = this.#links.get(key);
    // Only a file that looks as it did then is the one that was read: numbers of deleted files go to new ones.
    if (first?.record.sameState(record) === true) {
      if (--first.namesLeft === 0) this.#links.delete(key);
      if (first.outcome !== undefined) done(first.outcome);
      else first.waiting.push({ done, readItself: () => this.#linked(node, record, path, attempt, former, done) });
      return;
    }
    const link: LinkedFile = { record, outcome: undefined, namesLeft: record.nlink - 1, waiting: [] };
    this.#links.set(key, link);
    this.#ingest(node, record, path, attempt, former, (outcome) => {
      const waiting = link.waiting.splice(0);
      const isFailed = typeof outcome === 'string';
      // A change is looked into by whoever meets it; the next name reads again.
      if (isFailed || outcome.changed) {
        if (this.#links.get(key) === link) this.#links.delete(key);
      } else link.outcome = outcome;
      done(outcome);
      // One name that cannot be opened says nothing of the others.
      for (const other of waiting) {
        if (isFailed) other.readItself();
        else other.done(outcome);
      }
    });
  }

  #ingest(node: WalkNode, record: ScanRecord, path: Uint8Array, attempt: number, former: Former | undefined, done: Done): void {
    // Files that are sources themselves may be reached through a symlink, which the batches do not follow.
    if (record.sizeBytes <= SMALL_FILE_BYTES && node.scan !== undefined && record.position >= 0) {
      this.small.add(node.location, record, (outcome) => {
        if (outcome !== GROWN) done(outcome);
        else if (attempt === 0) done(CHANGED);
        else this.#ingestLarge(path, undefined, done);
      });
    } else this.#ingestLarge(path, former, done);
  }

  #ingestLarge(path: Uint8Array, former: Former | undefined, done: Done): void {
    this.#large++;
    ingestFile(this.#context.run, path, former, this.#context.options.signal, (bytes) => this.#context.read(bytes))
      .then(done, (error: NodeJS.ErrnoException) => {
        if (
          error.code === undefined ||
          error.code === 'ABORT_ERR' ||
          typeof error.code !== 'string' ||
          !/^E[A-Z0-9]+$/.test(error.code)
        )
          this.#context.failure ??= error;
        else done(error.code);
      })
      .catch((error: unknown) => (this.#context.failure ??= error))
      .finally(() => {
        this.#large--;
        for (const resolve of this.#largeDone.splice(0)) resolve();
      });
  }
}
