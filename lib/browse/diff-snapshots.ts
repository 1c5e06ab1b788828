/** What changed between two snapshots. Directories with the same tree are passed over unread, so the cost is that of the changes. */
import { compareBytes, equalBytes } from '../bytes.js';
import { type Entry, isDirectory } from '../format/tree.js';
import { readDirectory } from '../repository/tree-reader.js';
import { entryAt, joinPath, type OpenTree } from './open-tree.js';
import { sameContent, sameMetadata, sameTree, sameType } from './same-entry.js';

/** `+` added, `-` removed, `M` content modified, `T` type changed, `U` metadata only. */
export type ChangeKind = '+' | '-' | 'M' | 'T' | 'U';

export interface Change {
  readonly kind: ChangeKind;
  /** Absolute, or below the compared paths when they differ. */
  readonly path: Uint8Array;
  readonly before: Entry | undefined;
  readonly after: Entry | undefined;
}

export interface DiffOptions {
  readonly beforePath?: Uint8Array;
  readonly afterPath?: Uint8Array;
  /** Also report changes of mode, owner, times and attributes alone. */
  readonly metadata?: boolean;
}

type Step = { readonly path: Uint8Array; readonly before: Entry | undefined; readonly after: Entry | undefined };

/** Yields changes from `before` to `after` in the order of paths, directories before what they hold. @throws NotFoundError, CorruptError */
export function* diffSnapshots(before: OpenTree, after: OpenTree, options: DiffOptions = {}): Generator<Change> {
  const root = Uint8Array.of(0x2f);
  const left = entryAt(before, options.beforePath ?? root);
  const right = entryAt(after, options.afterPath ?? root);
  const path = compareBytes(left.path, right.path) === 0 ? left.path : root;
  // Chunk ids of different domains never agree, though the content may.
  const comparable = equalBytes(before.snapshot.envelope.domain, after.snapshot.envelope.domain);
  const stack: Iterator<Step>[] = [[{ path, before: left.entry, after: right.entry }][Symbol.iterator]()];
  for (;;) {
    const top = stack.at(-1);
    if (top === undefined) return;
    const next = top.next();
    if (next.done === true) {
      stack.pop();
      continue;
    }
    const step = next.value;
    const kind = kindOf(step, options.metadata === true);
    if (kind !== undefined) yield { kind, ...step };
    if (comparable && step.before !== undefined && step.after !== undefined && sameTree(step.before, step.after)) continue;
    const leftTree =
      step.before !== undefined && isDirectory(step.before) ? readDirectory(before.source, step.before.tree) : undefined;
    const rightTree =
      step.after !== undefined && isDirectory(step.after) ? readDirectory(after.source, step.after.tree) : undefined;
    if (leftTree !== undefined || rightTree !== undefined)
      stack.push(merge(step.path, leftTree ?? empty(), rightTree ?? empty()));
  }
}

function* empty(): Generator<Entry> {}

function kindOf({ before, after }: Step, metadata: boolean): ChangeKind | undefined {
  if (before === undefined) return '+';
  if (after === undefined) return '-';
  if (!sameType(before, after)) return 'T';
  if (!sameContent(before, after)) return 'M';
  return metadata && !sameMetadata(before, after) ? 'U' : undefined;
}

/** Entries of two directories side by side. */
function* merge(path: Uint8Array, left: Generator<Entry>, right: Generator<Entry>): Generator<Step> {
  let a = left.next();
  let b = right.next();
  while (a.done !== true || b.done !== true) {
    const order = a.done === true ? 1 : b.done === true ? -1 : compareBytes(a.value.name, b.value.name);
    const before = order <= 0 ? (a.value as Entry) : undefined;
    const after = order >= 0 ? (b.value as Entry) : undefined;
    yield { path: joinPath(path, (before ?? after!).name), before, after };
    if (order <= 0) a = left.next();
    if (order >= 0) b = right.next();
  }
}
