/**
 * A FileSystem in memory with every kind of entry a mount driver must show, and some that go wrong on purpose. Each serving thread builds
 * its own from the same recipe, so nodeIds agree. It imports nothing but types: see sampleSource() in sample-source.ts, which compiles it.
 */
import { readFileSync } from 'node:fs';
import type { Attributes, DirectoryEntry, FileSystem } from '../../lib/mount/driver.js';

export interface SampleData {
  /** A real file: first line the target of `changing/latest`, further lines the names in `changing/`. Read at every request. */
  readonly changingFrom?: string;
  /** Add `tree/`: this many directories of 100 files each, made up when asked for. */
  readonly treeDirectories?: number;
  /** Fail in openFileSystem. */
  readonly failToOpen?: boolean;
}

const MIB = 2 ** 20;
export const GIB = 2 ** 30;
export const BIG_BYTES = 5 * 2 ** 40;
/** Where `big.bin` has data; the rest are holes. */
export const BIG_EXTENTS: readonly (readonly [number, number])[] = [
  [0, MIB],
  [4 * GIB, 4 * GIB + MIB],
  [BIG_BYTES - MIB, BIG_BYTES],
];
export const MANY_ENTRIES = 20_000;
export const GAP_ENTRIES = 300;
export const XATTR_BIG_BYTES = 5000;
export const HARD_LINK_INO = 2n ** 40n + 5n;

/** Not a power of two, so that an offset gone wrong by a page or a gigabyte shows. */
const PERIOD = 251 * 4096;

/** The byte of `big.bin` (in an extent) and `gig.bin` at `offset`. Mirrored in the checks' Python as `formula`. */
export function formulaByte(offset: number): number {
  const at = offset % PERIOD;
  return (at * 31 + (at >>> 8) * 7) & 0xff;
}

interface Node {
  readonly nodeId: number;
  readonly mode: number;
  readonly extra: Partial<Omit<Attributes, 'nodeId' | 'mode'>>;
  children?: Map<string, Node>;
  names?: readonly DirectoryEntry[];
  readonly content?: Content;
  /** Where it has data, unless that is everywhere. */
  readonly extents?: readonly (readonly [number, number])[];
  readonly target?: Uint8Array;
  readonly xattrs?: ReadonlyMap<string, Uint8Array>;
}

/** Fills `into` from `offset`; the caller has cut `into` to the size. */
type Content = (offset: number, into: Uint8Array) => void;

const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');
const key = (name: Uint8Array): string => Buffer.from(name).toString('latin1');
const unkey = (name: string): Uint8Array => new Uint8Array(Buffer.from(name, 'latin1'));
const LONG_TTL = 3600;
/** 2024-02-29T12:34:56 UTC. */
const MTIME = 1709210096;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const TREE_BASE = 10_000_000;
const TREE_FILES = 100;
const CHANGING_BASE = 20_000_000;

/** The value of system.posix_acl_access, version 2: [tag, permissions, id] each. */
function aclBytes(...entries: readonly (readonly number[])[]): Uint8Array {
  const value = Buffer.alloc(4 + entries.length * 8);
  value.writeUInt32LE(2, 0);
  entries.forEach(([tag = 0, permissions = 0, id = -1], i) => {
    value.writeUInt16LE(tag, 4 + i * 8);
    value.writeUInt16LE(permissions, 6 + i * 8);
    value.writeInt32LE(id, 8 + i * 8);
  });
  return value;
}

export function openFileSystem(data: unknown): FileSystem {
  const options = (data ?? {}) as SampleData;
  if (options.failToOpen) throw new Error('told to fail');
  return new SampleFileSystem(options);
}

class SampleFileSystem implements FileSystem {
  readonly #nodes = new Map<number, Node>();
  readonly #options: SampleData;
  #nextId = 2;
  readonly #pattern: Uint8Array;
  #changing = 0;

  constructor(options: SampleData) {
    this.#options = options;
    this.#pattern = new Uint8Array(PERIOD + MIB);
    for (let i = 0; i < this.#pattern.length; i++) this.#pattern[i] = formulaByte(i);
    this.#build();
  }

  #add(parent: Node, name: Uint8Array | string, node: Omit<Node, 'nodeId'> & { nodeId?: number }): Node {
    const made = { ...node, nodeId: node.nodeId ?? this.#nextId++ } as Node;
    this.#nodes.set(made.nodeId, made);
    parent.children?.set(typeof name === 'string' ? key(bytes(name)) : key(name), made);
    return made;
  }

  #directory(parent: Node, name: string, extra: Node['extra'] = {}, mode = 0o755): Node {
    return this.#add(parent, name, { mode: S_IFDIR | mode, extra, children: new Map() });
  }

  #file(
    parent: Node,
    name: Uint8Array | string,
    text: string,
    extra: Node['extra'] = {},
    xattrs?: Map<string, Uint8Array>,
  ): Node {
    const all = bytes(text);
    const node = { mode: S_IFREG | 0o644, extra: { sizeBytes: all.length, blocks: 8, ...extra } };
    const content: Content = (offset, into) => into.set(all.subarray(offset, offset + into.length));
    return this.#add(parent, name, xattrs === undefined ? { ...node, content } : { ...node, content, xattrs });
  }

  #build(): void {
    const root: Node = { nodeId: 1, mode: S_IFDIR | 0o755, extra: { ino: 1n, nlink: 5 }, children: new Map() };
    this.#nodes.set(1, root);
    const xattrs = new Map([
      ['user.small', bytes('value')],
      ['user.empty', new Uint8Array(0)],
      ['user.bytes', Uint8Array.of(0, 255, 10, 0)],
      ['user.big', new Uint8Array(XATTR_BIG_BYTES).map((_, i) => i & 0xff)],
      ['user.unlisted', bytes('only if asked')],
    ]);
    const hello = this.#file(
      root,
      'hello.txt',
      'hello\n',
      { uid: 1234, gid: 4321, mtimeNsec: 123_456_789, ctimeSec: MTIME + 5, ctimeNsec: 987_654_321 },
      xattrs,
    );
    this.#file(root, 'empty', '', { blocks: 0 });
    this.#file(root, 'old.txt', 'old\n', { mtimeSec: -86_401, mtimeNsec: 500_000_000 });
    this.#file(root, 'future.txt', 'future\n', { mtimeSec: 13_569_465_600 });
    this.#file(root, Uint8Array.of(0x62, 0xff, 0xfe, 0x2e, 0x62), 'bytes\n');
    this.#file(root, 'n'.repeat(255), 'long\n');
    this.#file(root, 'line\nbreak', 'newline\n');
    this.#file(root, 'caf\u00e9', 'composed\n');
    this.#file(root, 'cafe\u0301', 'decomposed\n');
    const hard = this.#file(root, 'hard-a', 'hard\n', { ino: HARD_LINK_INO, nlink: 2 });
    root.children?.set('hard-b', hard);
    const link = (name: string, target: Uint8Array): Node =>
      this.#add(root, name, { mode: S_IFLNK | 0o777, extra: { sizeBytes: target.length }, target });
    link('link', bytes('hello.txt'));
    link('link-long', bytes('x'.repeat(3000)));
    link('link-bytes', Uint8Array.of(0xff, 0x2f, 0xfe));
    link('link-dangling', bytes('../nowhere'));
    this.#add(root, 'fifo', { mode: 0o010000 | 0o600, extra: {} });
    this.#add(root, 'socket', { mode: 0o140000 | 0o600, extra: {} });
    this.#add(root, 'char', { mode: 0o020000 | 0o600, extra: { rdevMajor: 10, rdevMinor: 300_000 } });
    this.#add(root, 'block', { mode: 0o060000 | 0o600, extra: { rdevMajor: 8, rdevMinor: 1 } });
    const pattern: Content = (offset, into) => this.#formula(offset, into);
    this.#add(root, 'gig.bin', { mode: S_IFREG | 0o644, extra: { sizeBytes: GIB, blocks: GIB / 512 }, content: pattern });
    this.#add(root, 'big.bin', {
      mode: S_IFREG | 0o644,
      extra: { sizeBytes: BIG_BYTES, blocks: (3 * MIB) / 512, ino: 2n ** 63n + 7n },
      content: (offset, into) => this.#sparse(offset, into),
    });
    const fails: Content = (offset) => {
      throw new Error(`chunk at ${offset} does not verify`);
    };
    this.#add(root, 'bad.bin', { mode: S_IFREG | 0o644, extra: { sizeBytes: 100_000, blocks: 200 }, content: fails });
    const extents = Array.from({ length: 10 }, (_, i) => [4 * i * MIB, (4 * i + 1) * MIB] as const);
    const failsLater: Content = (offset, into) => {
      if (offset >= 8 * MIB && offset < 12 * MIB) throw new Error(`chunk at ${offset} does not verify`);
      this.#formula(offset, into);
    };
    this.#add(root, 'bad-extent.bin', {
      mode: S_IFREG | 0o644,
      extra: { sizeBytes: 40 * MIB, blocks: (10 * MIB) / 512 },
      content: failsLater,
      extents,
    });
    const dies: Content = () => process.exit(7);
    this.#add(root, 'dies.bin', { mode: S_IFREG | 0o644, extra: { sizeBytes: 10, blocks: 8 }, content: dies });
    this.#add(root, 'private', {
      mode: S_IFREG | 0o600,
      extra: { sizeBytes: 3, blocks: 8, uid: 1234 },
      content: (_, into) => into.fill(0x41),
    });
    // Group 65534 has the group bits by mode, but the ACL gives the group nothing; user 65534 is named in the second.
    for (const [name, named] of [
      ['acl-denies', []],
      ['acl-grants', [2, 4, 65_534]],
    ] as const) {
      const acl = aclBytes([1, 6, -1], ...(named.length > 0 ? [named] : []), [4, 0, -1], [16, 6, -1], [32, 0, -1]);
      const extra = { sizeBytes: 2, blocks: 8, gid: name === 'acl-denies' ? 65_534 : 0 };
      const xattrs = new Map([['system.posix_acl_access', acl]]);
      this.#add(root, name, { mode: S_IFREG | 0o660, extra, xattrs, content: (_, into) => into.fill(0x43) });
    }
    const many = this.#directory(root, 'many');
    for (let i = 0; i < MANY_ENTRIES; i++) {
      this.#add(many, `entry-${String(i).padStart(5, '0')}`, {
        mode: S_IFREG | 0o644,
        extra: { sizeBytes: i },
        content: (_, into) => into.fill(0x42),
      });
    }
    const gaps = this.#directory(root, 'gaps');
    for (let i = 0; i < GAP_ENTRIES; i++) this.#file(gaps, `gap-${i}`, 'g');
    const a = this.#directory(root, 'nested', {}, 0o700);
    const b = this.#directory(a, 'deeper');
    this.#file(b, 'leaf', 'leaf\n');
    this.#directory(root, 'nothing');
    this.#changing = this.#directory(root, 'changing', { ttlSec: 0 }).nodeId;
    if (this.#options.treeDirectories !== undefined)
      this.#add(root, 'tree', { nodeId: TREE_BASE, mode: S_IFDIR | 0o755, extra: {} });
    if (hello.nodeId >= TREE_BASE) throw new Error('nodeIds overlap');
  }

  #formula(offset: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const from = (offset + done) % PERIOD;
      const part = this.#pattern.subarray(from, from + into.length - done);
      into.set(part, done);
      done += part.length;
    }
  }

  #sparse(offset: number, into: Uint8Array): void {
    into.fill(0);
    for (const [start, end] of BIG_EXTENTS) {
      const from = Math.max(start, offset);
      const to = Math.min(end, offset + into.length);
      if (from < to) this.#formula(from, into.subarray(from - offset, to - offset));
    }
  }

  /** Nodes of `tree/` are made up: directory d is TREE_BASE + 1 + d × 101, its files follow it. */
  #treeNode(nodeId: number): Node | undefined {
    const directories = this.#options.treeDirectories ?? 0;
    const index = nodeId - TREE_BASE - 1;
    if (index < 0 || index >= directories * (TREE_FILES + 1)) return undefined;
    const isDirectory = index % (TREE_FILES + 1) === 0;
    return isDirectory
      ? { nodeId, mode: S_IFDIR | 0o755, extra: {} }
      : {
          nodeId,
          mode: S_IFREG | 0o644,
          extra: { sizeBytes: 12_288, blocks: 24 },
          content: (offset, into) => this.#formula(offset, into),
        };
  }

  #treeChild(parent: number, index: number): DirectoryEntry | undefined {
    const directories = this.#options.treeDirectories ?? 0;
    const isTop = parent === TREE_BASE;
    if (index >= (isTop ? directories : TREE_FILES)) return undefined;
    const node = this.#treeNode(isTop ? TREE_BASE + 1 + index * (TREE_FILES + 1) : parent + 1 + index);
    return node === undefined
      ? undefined
      : { name: bytes(`${isTop ? 'd' : 'f'}${String(index).padStart(4, '0')}`), attributes: this.#attributes(node) };
  }

  #changingState(): { target: string; names: string[] } {
    const text = this.#options.changingFrom === undefined ? '' : readFileSync(this.#options.changingFrom, 'utf8');
    const [target = '', ...names] = text.split('\n').filter((line) => line !== '');
    return { target, names };
  }

  #changingNode(name: string): Node | undefined {
    const { target, names } = this.#changingState();
    if (name === 'latest')
      return {
        nodeId: CHANGING_BASE,
        mode: S_IFLNK | 0o777,
        extra: { sizeBytes: target.length, ttlSec: 0 },
        target: bytes(target),
      };
    if (!names.includes(name)) return undefined;
    const number = [...name].reduce((sum, letter) => (sum * 131 + letter.charCodeAt(0)) % 1_000_003, 7);
    return { nodeId: CHANGING_BASE + 1 + number, mode: S_IFREG | 0o644, extra: { ttlSec: 0 } };
  }

  #node(nodeId: number): Node | undefined {
    if (nodeId === CHANGING_BASE) return this.#changingNode('latest');
    if (nodeId > CHANGING_BASE) return { nodeId, mode: S_IFREG | 0o644, extra: { ttlSec: 0 } };
    return this.#nodes.get(nodeId) ?? this.#treeNode(nodeId);
  }

  #attributes(node: Node): Attributes {
    const plain = { ino: BigInt(node.nodeId), nlink: (node.mode & S_IFDIR) !== 0 && (node.mode & 0o170000) === S_IFDIR ? 2 : 1 };
    const times = { mtimeSec: MTIME, mtimeNsec: 0, ctimeSec: MTIME, ctimeNsec: 0 };
    const zeros = { uid: 0, gid: 0, rdevMajor: 0, rdevMinor: 0, sizeBytes: 0, blocks: 0 };
    return { nodeId: node.nodeId, mode: node.mode, ...plain, ...times, ...zeros, ttlSec: LONG_TTL, ...node.extra };
  }

  lookup(parent: number, name: Uint8Array): Attributes | undefined {
    if (parent === this.#changing) {
      const node = this.#changingNode(key(name));
      return node && this.#attributes(node);
    }
    if (parent >= TREE_BASE && parent < CHANGING_BASE) return this.#treeChild(parent, Number(key(name).slice(1)))?.attributes;
    const node = this.#nodes.get(parent)?.children?.get(key(name));
    return node && this.#attributes(node);
  }

  getattr(nodeId: number): Attributes | undefined {
    const node = this.#node(nodeId);
    if (node === undefined) return undefined;
    // A directory that changes says so by its modification time.
    if (nodeId === this.#changing) return { ...this.#attributes(node), mtimeNsec: this.#changingState().names.length };
    return this.#attributes(node);
  }

  readdir(nodeId: number, offset: number, limit: number): { entries: readonly DirectoryEntry[]; next: number; end: boolean } {
    const node = this.#node(nodeId);
    let all: readonly DirectoryEntry[];
    if (nodeId === this.#changing) {
      const names = [...this.#changingState().names, 'latest'];
      all = names.flatMap((name) => {
        const child = this.#changingNode(name);
        return child === undefined ? [] : [{ name: bytes(name), attributes: this.#attributes(child) }];
      });
    } else if (nodeId >= TREE_BASE && nodeId < CHANGING_BASE) {
      const entries: DirectoryEntry[] = [];
      for (let i = offset; entries.length < limit; i++) {
        const child = this.#treeChild(nodeId, i);
        if (child === undefined) return { entries, next: i, end: true };
        entries.push(child);
      }
      return { entries, next: offset + entries.length, end: false };
    } else {
      const children = node?.children;
      if (node === undefined || children === undefined) throw new Error('not a directory');
      node.names ??= [...children].map(([name, child]) => ({ name: unkey(name), attributes: this.#attributes(child) }));
      all = node.names;
    }
    // Positions in gaps/ are multiples of 10, as a FileSystem may have it.
    const step = this.#nodes.get(1)?.children?.get('gaps')?.nodeId === nodeId ? 10 : 1;
    const from = Math.ceil(offset / step);
    const entries = all.slice(from, from + limit);
    return { entries, next: (from + entries.length) * step, end: from + entries.length >= all.length };
  }

  readlink(nodeId: number): Uint8Array | undefined {
    return this.#node(nodeId)?.target;
  }

  read(nodeId: number, offset: number, into: Uint8Array): number {
    const node = this.#node(nodeId);
    if (node?.content === undefined) throw new Error('nothing to read');
    const count = Math.max(0, Math.min(into.length, this.#attributes(node).sizeBytes - offset));
    if (count > 0) node.content(offset, into.subarray(0, count));
    return count;
  }

  seek(nodeId: number, offset: number, what: 'data' | 'hole'): number | undefined {
    const node = this.#node(nodeId);
    const size = node === undefined ? 0 : this.#attributes(node).sizeBytes;
    if (offset >= size) return undefined;
    const extents = size === BIG_BYTES ? BIG_EXTENTS : (node?.extents ?? [[0, size] as const]);
    const inside = extents.find(([start, end]) => start <= offset && offset < end);
    if (what === 'data') return inside !== undefined ? offset : extents.find(([start]) => start > offset)?.[0];
    return inside === undefined ? offset : inside[1];
  }

  listxattr(nodeId: number): readonly Uint8Array[] {
    return [...(this.#node(nodeId)?.xattrs?.keys() ?? [])].filter((name) => name !== 'user.unlisted').map(bytes);
  }

  getxattr(nodeId: number, name: Uint8Array): Uint8Array | undefined {
    return this.#node(nodeId)?.xattrs?.get(key(name));
  }

  statfs(): { blockSizeBytes: number; blocks: number; files: number; nameMaxBytes: number } {
    return { blockSizeBytes: 4096, blocks: 2 ** 33 + 1, files: 123_456, nameMaxBytes: 255 };
  }

  forget(): void {}

  close(): void {}
}
