/**
 * What stands above the snapshots in a mount: `latest`, snapshots/, hosts/, tags/, by-id/, at/ and .varve/ (docs/guide.md, Mounted tree). Snapshots themselves
 * are directories in snapshots/ only; every other name for one is a symlink there. Blocking; opens manifests when a name depends on them.
 */
import { toHex, utf8 } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { type Attributes, blocksOf, FileType, NAMES_TTL_SEC, type NamedNode } from './attributes.js';
import { inoBelow, inoNumber } from './ino.js';
import type { NodeTable } from './node-table.js';
import { lastMomentOf } from './snapshot-names.js';
import type { ShownSnapshot, SnapshotGroup, SnapshotTable } from './snapshot-table.js';
import { POSITIONS } from './snapshot-tree.js';

/** Nodes that are always there. */
export const Fixed = {
  root: 1,
  snapshots: 2,
  hosts: 3,
  tags: 4,
  byId: 5,
  at: 6,
  varve: 7,
  varveSnapshots: 8,
  status: 9,
  ledger: 10,
  latest: 11,
} as const;

/** NodeTable kinds of named things; a and b are from a hash or an id. */
const SNAPSHOT_NUMBER = 1;
const HOST_NUMBER = 2;
const TAG_NUMBER = 3;

/** What of a snapshot a node is: position below its number. */
const Part = { directory: 0, fromOneBelow: 1, fromTwoBelow: 2, json: 3 } as const;
/** What of a host or tag. */
const GroupPart = { directory: 0, latest: 1 } as const;

/** Texts of files, made elsewhere. */
export interface Texts {
  status(): string;
  ledger(): string;
  snapshot(snapshot: ShownSnapshot): string;
}

/** A node above the snapshots. */
export type RootNode =
  | {
      readonly kind: 'directory';
      readonly list: () => Iterable<readonly [string, number]>;
      readonly find: (name: string) => number | undefined;
      readonly mtimeSec: number;
    }
  | { readonly kind: 'symlink'; readonly target: string; readonly mtimeSec: number }
  | { readonly kind: 'file'; readonly text: () => string; readonly mtimeSec: number }
  | { readonly kind: 'snapshot'; readonly snapshot: ShownSnapshot };

export class RootNames {
  readonly #table: SnapshotTable;
  readonly #numbers: NodeTable;
  readonly #texts: Texts;
  readonly #nowMs: () => number;

  constructor(table: SnapshotTable, numbers: NodeTable, texts: Texts, nowMs: () => number) {
    this.#table = table;
    this.#numbers = numbers;
    this.#texts = texts;
    this.#nowMs = nowMs;
  }

  /** What `nodeId` is, or undefined when it is none of these or gone. */
  resolve(nodeId: number): RootNode | undefined {
    const number = Math.floor(nodeId / POSITIONS);
    const part = nodeId % POSITIONS;
    if (number === 0) return this.#fixed(nodeId);
    const key = this.#numbers.keyOf(number);
    if (key?.kind === SNAPSHOT_NUMBER) {
      const snapshot = this.#snapshotOf(number);
      return snapshot === undefined ? undefined : this.#partOf(snapshot, part);
    }
    if (key?.kind === HOST_NUMBER) return this.#group(this.#table.hosts(), number, HOST_NUMBER, part);
    if (key?.kind === TAG_NUMBER) return this.#group(this.#table.tags(), number, TAG_NUMBER, part);
    return undefined;
  }

  /** Attributes of a node; `snapshot` are those of a snapshot's root. */
  attributesOf(nodeId: number, node: Exclude<RootNode, { kind: 'snapshot' }>): Attributes {
    const sizeBytes =
      node.kind === 'file' ? utf8(node.text()).byteLength : node.kind === 'symlink' ? utf8(node.target).byteLength : 4096;
    const type =
      node.kind === 'file'
        ? FileType.regular | 0o444
        : node.kind === 'symlink'
          ? FileType.symlink | 0o777
          : FileType.directory | 0o555;
    // The kernel keeps listings and contents as long as this time stands still, and any new entry may change them.
    const mtimeNsec = node.kind === 'symlink' ? 0 : this.#table.entryCount % 1e9;
    return {
      nodeId,
      ino: this.#ino(nodeId),
      mode: type,
      nlink: 1,
      uid: 0,
      gid: 0,
      rdevMajor: 0,
      rdevMinor: 0,
      sizeBytes,
      blocks: node.kind === 'file' ? blocksOf(sizeBytes) : 0,
      mtimeSec: node.mtimeSec,
      mtimeNsec,
      ctimeSec: node.mtimeSec,
      ctimeNsec: mtimeNsec,
      ttlSec: NAMES_TTL_SEC,
    };
  }

  /** The nodeId of a snapshot's own directory. */
  directoryOf(snapshot: ShownSnapshot): number {
    return this.#numberOf(snapshot) * POSITIONS + Part.directory;
  }

  #numberOf(snapshot: ShownSnapshot): number {
    return this.#named(SNAPSHOT_NUMBER, snapshot.hex);
  }

  #node(snapshot: ShownSnapshot, part: number): number {
    return this.#numberOf(snapshot) * POSITIONS + part;
  }

  readonly #snapshots = new Map<number, string>();

  #named(kind: number, hex: string): number {
    const number = this.#numbers.numberOf(kind, Number.parseInt(hex.slice(0, 12), 16), Number.parseInt(hex.slice(12, 20), 16));
    if (kind === SNAPSHOT_NUMBER) this.#snapshots.set(number, hex);
    return number;
  }

  #snapshotOf(number: number): ShownSnapshot | undefined {
    const known = this.#snapshots.get(number);
    if (known !== undefined) return this.#table.withHex(known);
    // Another thread gave the number out.
    return this.#table.shown().find((snapshot) => this.#numberOf(snapshot) === number);
  }

  #fixed(nodeId: number): RootNode | undefined {
    const table = this.#table;
    const latest = table.latest();
    const mtimeSec = table.shown().at(-1)?.time.sec ?? 0;
    const directory = (
      list: () => Iterable<readonly [string, number]>,
      find: (name: string) => number | undefined,
    ): RootNode => ({ kind: 'directory', list, find, mtimeSec });
    const fromList = (entries: readonly (readonly [string, number])[]): RootNode =>
      directory(
        () => entries,
        (name) => entries.find(([have]) => have === name)?.[1],
      );
    const nodes = (part: number) => (): (readonly [string, number])[] =>
      table.shown().map((snapshot) => [snapshot.name, this.#node(snapshot, part)]);
    const node = (snapshot: ShownSnapshot | undefined, part: number): number | undefined =>
      snapshot === undefined ? undefined : this.#node(snapshot, part);
    switch (nodeId) {
      case Fixed.root:
        return fromList([
          ['.varve', Fixed.varve],
          ['at', Fixed.at],
          ['by-id', Fixed.byId],
          ['hosts', Fixed.hosts],
          ...(latest === undefined ? [] : [['latest', Fixed.latest] as const]),
          ['snapshots', Fixed.snapshots],
          ['tags', Fixed.tags],
        ]);
      case Fixed.latest:
        return latest === undefined
          ? undefined
          : { kind: 'symlink', target: `snapshots/${latest.name}`, mtimeSec: latest.time.sec };
      case Fixed.snapshots:
        return directory(nodes(Part.directory), (name) => node(table.named(name), Part.directory));
      case Fixed.hosts:
        return this.#groups(() => table.hosts(), HOST_NUMBER, directory);
      case Fixed.tags:
        return this.#groups(() => table.tags(), TAG_NUMBER, directory);
      case Fixed.byId:
        return directory(
          () => table.shown().map((snapshot) => [table.shortId(snapshot), this.#node(snapshot, Part.fromOneBelow)]),
          (name) => node(table.withPrefix(name), Part.fromOneBelow),
        );
      case Fixed.at:
        return directory(
          () => [],
          (name) => {
            const lastNs = lastMomentOf(name, this.#nowMs());
            return lastNs === undefined ? undefined : node(table.latest(undefined, lastNs), Part.fromOneBelow);
          },
        );
      case Fixed.varve:
        return fromList([
          ['ledger.jsonl', Fixed.ledger],
          ['snapshots', Fixed.varveSnapshots],
          ['status.json', Fixed.status],
        ]);
      case Fixed.varveSnapshots:
        return directory(
          () => table.shown().map((snapshot) => [`${snapshot.hex}.json`, this.#node(snapshot, Part.json)]),
          (name) => (name.endsWith('.json') ? node(table.withPrefix(name.slice(0, -'.json'.length)), Part.json) : undefined),
        );
      case Fixed.status:
        return { kind: 'file', text: () => this.#texts.status(), mtimeSec };
      case Fixed.ledger:
        return { kind: 'file', text: () => this.#texts.ledger(), mtimeSec };
      default:
        return undefined;
    }
  }

  #partOf(snapshot: ShownSnapshot, part: number): RootNode | undefined {
    const mtimeSec = snapshot.time.sec;
    if (part === Part.directory) return { kind: 'snapshot', snapshot };
    if (part === Part.fromOneBelow) return { kind: 'symlink', target: `../snapshots/${snapshot.name}`, mtimeSec };
    if (part === Part.fromTwoBelow) return { kind: 'symlink', target: `../../snapshots/${snapshot.name}`, mtimeSec };
    if (part === Part.json) return { kind: 'file', text: () => this.#texts.snapshot(snapshot), mtimeSec };
    return undefined;
  }

  #groupNumber(kind: number, name: string): number {
    return this.#named(kind, toHex(sha256(utf8(name))));
  }

  #groups(
    groups: () => ReadonlyMap<string, SnapshotGroup>,
    kind: number,
    directory: (list: () => Iterable<readonly [string, number]>, find: (name: string) => number | undefined) => RootNode,
  ): RootNode {
    const node = (name: string): number => this.#groupNumber(kind, name) * POSITIONS + GroupPart.directory;
    return directory(
      () => [...groups().keys()].map((name) => [name, node(name)]),
      (name) => (groups().has(name) ? node(name) : undefined),
    );
  }

  #group(groups: ReadonlyMap<string, SnapshotGroup>, number: number, kind: number, part: number): RootNode | undefined {
    for (const [name, { snapshots }] of groups) {
      if (this.#groupNumber(kind, name) !== number) continue;
      const latest = this.#table.latest(snapshots);
      const mtimeSec = snapshots.at(-1)?.time.sec ?? 0;
      if (part === GroupPart.latest)
        return latest === undefined ? undefined : { kind: 'symlink', target: `../../snapshots/${latest.name}`, mtimeSec };
      if (part !== GroupPart.directory) return undefined;
      const list = (): (readonly [string, number])[] => [
        ...(latest === undefined ? [] : [['latest', number * POSITIONS + GroupPart.latest] as const]),
        ...snapshots.map((snapshot) => [snapshot.name, this.#node(snapshot, Part.fromTwoBelow)] as const),
      ];
      return { kind: 'directory', list, find: (wanted) => list().find(([have]) => have === wanted)?.[1], mtimeSec };
    }
    return undefined;
  }

  #ino(nodeId: number): bigint {
    const number = Math.floor(nodeId / POSITIONS);
    if (number === 0) return BigInt(nodeId);
    // The key, not the number, which depends on what was looked at first.
    const key = this.#numbers.keyOf(number);
    return inoNumber(inoBelow({ lo: 0, hi: 0 }, utf8(`${key?.kind} ${key?.a} ${key?.b} ${nodeId % POSITIONS}`)));
  }
}

/** One page of a listing. */
export function listPage(
  entries: Iterable<readonly [string, number]>,
  offset: number,
  limit: number,
  attributesOf: (nodeId: number) => Attributes | undefined,
): { entries: NamedNode[]; next: number; end: boolean } {
  const all = [...entries];
  const taken = all.slice(offset, offset + limit);
  const named: NamedNode[] = [];
  for (const [name, nodeId] of taken) {
    const attributes = attributesOf(nodeId);
    if (attributes !== undefined) named.push({ name: utf8(name), attributes });
  }
  return { entries: named, next: offset + taken.length, end: offset + taken.length >= all.length };
}
