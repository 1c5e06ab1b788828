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
  outcome: Ingested | undefined;
  namesLeft: number;
  readonly waiting: ((outcome: Ingested | string) => void)[];
}

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
  read(
    node: WalkNode,
    record: ScanRecord,
    path: Uint8Array,
    attempt: number,
    former: Former | undefined,
    done: (outcome: Ingested | string) => void,
  ): void {
    if (record.nlink > 1) this.#linked(node, record, path, attempt, former, done);
    else this.#ingest(node, record, path, attempt, former, done);
  }

  /** One of several names of a file: its content is read once. */
  #linked(
    node: WalkNode,
    record: ScanRecord,
    path: Uint8Array,
    attempt: number,
    former: Former | undefined,
    done: (outcome: Ingested | string) => void,
  ): void {
    const key = `${record.device}:${record.ino}`;
    const first = this.#links.get(key);
    if (first !== undefined) {
      if (--first.namesLeft === 0) this.#links.delete(key);
      if (first.outcome !== undefined) done(first.outcome);
      else first.waiting.push(done);
      return;
    }
    const link: LinkedFile = { outcome: undefined, namesLeft: record.nlink - 1, waiting: [done] };
    this.#links.set(key, link);
    this.#ingest(node, record, path, attempt, former, (outcome) => {
      // A change is looked into by whoever meets it; the next name reads again.
      if (typeof outcome === 'string' || outcome.changed) this.#links.delete(key);
      else link.outcome = outcome;
      for (const waiting of link.waiting.splice(0)) waiting(outcome);
    });
  }

  #ingest(
    node: WalkNode,
    record: ScanRecord,
    path: Uint8Array,
    attempt: number,
    former: Former | undefined,
    done: (outcome: Ingested | string) => void,
  ): void {
    // Files that are sources themselves may be reached through a symlink, which the batches do not follow.
    if (record.sizeBytes <= SMALL_FILE_BYTES && node.source?.children === undefined) {
      this.small.add(node.path, record, (outcome) => {
        if (outcome !== GROWN) done(outcome);
        else if (attempt === 0) done(CHANGED);
        else this.#ingestLarge(path, undefined, (grown) => done(typeof grown === 'string' ? grown : { ...grown, changed: true }));
      });
    } else this.#ingestLarge(path, former, done);
  }

  #ingestLarge(path: Uint8Array, former: Former | undefined, done: (outcome: Ingested | string) => void): void {
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
