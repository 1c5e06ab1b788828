/**
 * What changed between two snapshots. Directories with the same tree are passed over unread, and two between which nothing changed are compared once, so the cost is that
 * of the changes. Ends with an error where a directory holds more than it claims.
 */

import { compareBytes, equalBytes, toHex } from '../bytes.js';
import { manifestName } from '../format/names.js';
import { type DirectoryEntry, type Entry, isDirectory } from '../format/tree.js';
import { TreeBounds } from '../repository/tree-bounds.js';
import { namesOfPath } from '../repository/tree-path.js';
import { readDirectory } from '../repository/tree-reader.js';
import { Turns } from '../repository/turns.js';
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
  readonly signal?: AbortSignal;
}

type Step = { readonly path: Uint8Array; readonly before: Entry | undefined; readonly after: Entry | undefined };

/** Two directories side by side that are under way. */
interface Pair {
  readonly steps: Iterator<Step>;
  readonly key: string | undefined;
  readonly entered: readonly TreeBounds[];
  changed: boolean;
}

/** Above so many remembered pairs of directories, they are forgotten and may be compared again. */
const MAX_REMEMBERED = 500_000;

const treeOf = (entry: Entry | undefined): DirectoryEntry | undefined =>
  entry !== undefined && isDirectory(entry) ? entry : undefined;

/** Yields changes from `before` to `after` in the order of paths, directories before what they hold. @throws NotFoundError, CorruptError, InterruptedError */
export async function* diffSnapshots(before: OpenTree, after: OpenTree, options: DiffOptions = {}): AsyncGenerator<Change> {
  const turns = new Turns('diff', options.signal);
  const root = Uint8Array.of(0x2f);
  const left = entryAt(before, options.beforePath ?? root);
  const right = entryAt(after, options.afterPath ?? root);
  const path = compareBytes(left.path, right.path) === 0 ? left.path : root;
  const [leftBounds, rightBounds] = [
    { tree: before, at: left },
    { tree: after, at: right },
  ].map(({ tree, at }) => new TreeBounds(manifestName(tree.snapshot.id), namesOfPath(at.path).length)) as [
    TreeBounds,
    TreeBounds,
  ];
  // Chunk ids of different domains never agree, though the content may.
  const comparable = equalBytes(before.snapshot.envelope.domain, after.snapshot.envelope.domain);
  /** Pairs of trees between which nothing changed. */
  const same = new Set<string>();
  const first: Step[] = [{ path, before: left.entry, after: right.entry }];
  const stack: Pair[] = [{ steps: first[Symbol.iterator](), key: undefined, entered: [], changed: false }];
  for (;;) {
    const top = stack.at(-1);
    if (top === undefined) return;
    if (turns.isDue) await turns.take();
    const next = top.steps.next();
    if (next.done === true) {
      stack.pop();
      for (const bounds of top.entered) bounds.leave();
      if (same.size >= MAX_REMEMBERED) same.clear();
      const above = stack.at(-1);
      if (top.changed && above !== undefined) above.changed = true;
      if (!top.changed && top.key !== undefined) same.add(top.key);
      continue;
    }
    const step = next.value;
    if (stack.length > 1) {
      if (step.before !== undefined) leftBounds.count();
      if (step.after !== undefined) rightBounds.count();
    }
    const kind = kindOf(step, options.metadata === true);
    if (kind !== undefined) {
      top.changed = true;
      yield { kind, ...step };
    }
    if (comparable && step.before !== undefined && step.after !== undefined && sameTree(step.before, step.after)) continue;
    const [leftTree, rightTree] = [treeOf(step.before), treeOf(step.after)];
    if (leftTree === undefined && rightTree === undefined) continue;
    const key = leftTree === undefined || rightTree === undefined ? undefined : toHex(leftTree.tree) + toHex(rightTree.tree);
    if (key !== undefined && same.has(key)) continue;
    if (leftTree !== undefined) leftBounds.enter(leftTree.totals);
    if (rightTree !== undefined) rightBounds.enter(rightTree.totals);
    const steps = merge(
      step.path,
      leftTree === undefined ? empty() : readDirectory(before.source, leftTree.tree),
      rightTree === undefined ? empty() : readDirectory(after.source, rightTree.tree),
    );
    const entered = [...(leftTree === undefined ? [] : [leftBounds]), ...(rightTree === undefined ? [] : [rightBounds])];
    stack.push({ steps, key, entered, changed: false });
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
