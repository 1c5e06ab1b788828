/**
 * Which manifest locks each pack longest. Manifests pin packs as differences to one another, so they form trees; each tree is walked once, and what counts
 * is the largest weight over the stretches of the walk in which a pack is pinned. Nothing is resolved per manifest. Pure, no key.
 */
import { toHex } from '../bytes.js';
import type { Envelope } from '../format/manifest.js';
import type { PackTable } from './pack-table.js';

/** Rising numbers: a list, or one bit each where that is shorter. */
type Numbers = Uint32Array | { readonly bits: Uint8Array };

function packed(numbers: Uint32Array, count: number): Numbers {
  if (numbers.length * 32 <= count) return numbers;
  const bits = new Uint8Array(Math.ceil(count / 8));
  for (const number of numbers) bits[number >> 3]! |= 1 << (number & 7);
  return { bits };
}

function listOf(numbers: Numbers): Uint32Array {
  if (numbers instanceof Uint32Array) return numbers;
  const { bits } = numbers;
  const list = new Uint32Array(bits.length * 8);
  let length = 0;
  for (let byte = 0; byte < bits.length; byte++) {
    for (let rest = bits[byte]!, number = byte << 3; rest !== 0; rest >>= 1, number++)
      if ((rest & 1) === 1) list[length++] = number;
  }
  return list.subarray(0, length);
}

/** What a manifest pins, in numbers of a PackTable. */
export interface PinNode {
  readonly depth: number;
  /** Id of the manifest it builds on, hex. */
  readonly base: string | undefined;
  readonly added: Numbers;
  readonly removed: Uint32Array;
  /** As the manifest says, and what its own lists come to: packs that are not in the store count too. */
  readonly pinCount: number;
  readonly gained: number;
}

const NOTHING = new Uint32Array(0);

export function pinNode(table: PackTable, { pins, pinCount }: Pick<Envelope, 'pins' | 'pinCount'>): PinNode {
  if ('ids' in pins) {
    const added = packed(table.numbersOf(pins.ids), table.count);
    return { depth: 0, base: undefined, added, removed: NOTHING, pinCount, gained: pins.ids.byteLength / 32 };
  }
  return {
    depth: pins.depth,
    base: toHex(pins.base),
    added: table.numbersOf(pins.added),
    removed: table.numbersOf(pins.removed),
    pinCount,
    gained: (pins.added.byteLength - pins.removed.byteLength) / 32,
  };
}

/** Per pack, by number: the largest weight of a manifest that pins it (-1: none does), and which manifest that is (-1). */
export interface Locks {
  readonly weight: Float64Array;
  readonly by: Int32Array;
}

/** Position of the largest value of a stretch, for any stretch, in constant time. */
class LargestIn {
  readonly #values: Float64Array;
  readonly #levels: Int32Array[] = [];

  constructor(values: Float64Array) {
    this.#values = values;
    this.#levels.push(Int32Array.from(values, (_, i) => i));
    for (let span = 1; span * 2 <= values.length; span *= 2) {
      const below = this.#levels.at(-1)!;
      this.#levels.push(
        Int32Array.from({ length: values.length - span * 2 + 1 }, (_, i) => this.#better(below[i]!, below[i + span]!)),
      );
    }
  }

  #better(a: number, b: number): number {
    return this.#values[b]! > this.#values[a]! ? b : a;
  }

  /** From `first` to `last`, both included. */
  at(first: number, last: number): number {
    const level = 31 - Math.clz32(last - first + 1);
    const row = this.#levels[level]!;
    return this.#better(row[first]!, row[last - (1 << level) + 1]!);
  }
}

/**
 * Walks all manifests.
 *
 * @param weights - several lists of weights, one number a manifest in each; a result for each list
 * @returns also the manifests whose pins do not resolve: a base is missing, or counts and differences do not fit
 */
export function packLocks(
  packCount: number,
  manifests: ReadonlyMap<string, PinNode>,
  ...weights: readonly Float64Array[]
): { locks: Locks[]; broken: Set<string> } {
  const hexes = [...manifests.keys()];
  const nodes = [...manifests.values()];
  const indexOf = new Map(hexes.map((hex, i) => [hex, i]));
  const children: number[][] = nodes.map(() => []);
  const roots: number[] = [];
  const broken = new Set<string>();
  nodes.forEach(({ base, depth, gained, pinCount }, i) => {
    const parent = base === undefined ? undefined : indexOf.get(base);
    if (base === undefined) roots.push(i);
    else if (parent !== undefined && nodes[parent]!.depth === depth - 1) children[parent]!.push(i);
    const before = parent === undefined ? 0 : nodes[parent]!.pinCount;
    if (before + gained !== pinCount) broken.add(hexes[i]!);
  });
  // The order of the walk: a manifest, then all that build on it.
  const order: number[] = [];
  const lastBelow = new Int32Array(nodes.length);
  for (const root of roots) {
    const stack: [number, number][] = [[root, 0]];
    order.push(root);
    const at = [order.length - 1];
    while (stack.length > 0) {
      const top = stack.at(-1)!;
      const child = children[top[0]]![top[1]++];
      if (child === undefined) {
        lastBelow[at.pop()!] = order.length - 1;
        stack.pop();
      } else {
        at.push(order.push(child) - 1);
        stack.push([child, 0]);
      }
    }
  }
  const reached = new Set(order);
  nodes.forEach((_, i) => {
    if (!reached.has(i)) broken.add(hexes[i]!);
  });

  const largest = weights.map((list) => new LargestIn(Float64Array.from(order, (node) => list[node]!)));
  const locks = weights.map(() => ({ weight: new Float64Array(packCount).fill(-1), by: new Int32Array(packCount).fill(-1) }));
  /** Where in the order the stretch began in which a pack is pinned; -1 while it is not. */
  const since = new Int32Array(packCount).fill(-1);
  const close = (pack: number, end: number): void => {
    const from = since[pack]!;
    since[pack] = -1;
    if (from < 0 || end < from) return;
    for (let k = 0; k < locks.length; k++) {
      const node = order[largest[k]!.at(from, end)]!;
      const { weight, by } = locks[k]!;
      if (weights[k]![node]! > weight[pack]!) {
        weight[pack] = weights[k]![node]!;
        by[pack] = node;
      }
    }
  };
  /** Manifests on the way down, by their places in the order. */
  const open: number[] = [];
  /** Differences that do not fit, by place in the order: they were not applied, so they are not taken back. */
  const unfit = new Map<number, Set<number>>();
  const misfit = (position: number, pack: number): void => {
    broken.add(hexes[order[position]!]!);
    const packs = unfit.get(position);
    if (packs === undefined) unfit.set(position, new Set([pack]));
    else packs.add(pack);
  };
  const leave = (position: number): void => {
    const { added, removed } = nodes[order[position]!]!;
    const end = lastBelow[position]!;
    const skip = unfit.get(position);
    for (const pack of listOf(added)) if (skip?.has(pack) !== true) close(pack, end);
    for (const pack of removed) if (skip?.has(pack) !== true) since[pack] = end + 1;
  };
  for (let position = 0; position < order.length; position++) {
    while (open.length > 0 && lastBelow[open.at(-1)!]! < position) leave(open.pop()!);
    const { added, removed } = nodes[order[position]!]!;
    for (const pack of removed) {
      if (since[pack]! < 0) misfit(position, pack);
      else close(pack, position - 1);
    }
    for (const pack of listOf(added)) {
      if (since[pack]! >= 0) misfit(position, pack);
      else since[pack] = position;
    }
    open.push(position);
  }
  while (open.length > 0) leave(open.pop()!);
  // What builds on something broken cannot be trusted either.
  for (const node of order) {
    const { base } = nodes[node]!;
    if (base !== undefined && broken.has(base)) broken.add(hexes[node]!);
  }
  return { locks, broken };
}
