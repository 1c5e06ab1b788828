/** Pins: which packs a snapshot needs, through chains of differences (docs/format.md §10). */
import { compareBytes, equalBytes, toHex } from '../bytes.js';
import { CorruptError } from '../errors.js';
import { type Envelope, MAX_PIN_DEPTH, type Pins } from '../format/manifest.js';

/** Reads the envelope of another manifest. */
export type EnvelopeReader = (id: Uint8Array) => Promise<Envelope>;

/** Joined pack ids, rising, that `envelope` pins. @throws CorruptError if the chain does not resolve */
export async function resolvePins(envelope: Envelope, read: EnvelopeReader, object: string): Promise<Uint8Array> {
  const { pins, pinCount } = envelope;
  let ids: Uint8Array;
  if ('ids' in pins) ids = pins.ids;
  else {
    const base = await read(pins.base);
    if (base.pins.depth !== pins.depth - 1) throw new CorruptError(object, 'its pins build on a manifest of another depth');
    ids = applyDifference(await resolvePins(base, read, object), pins.removed, pins.added, object);
  }
  if (ids.byteLength / 32 !== pinCount) throw new CorruptError(object, 'its pin count does not fit its pins');
  return ids;
}

/** Pins of a manifest that builds on one with pins `base`. @throws CorruptError naming `object` if they do not fit */
export function applyDifference(base: Uint8Array, removed: Uint8Array, added: Uint8Array, object: string): Uint8Array {
  const set = new Map<string, Uint8Array>();
  for (const id of split(base)) set.set(toHex(id), id);
  for (const id of split(removed))
    if (!set.delete(toHex(id))) throw new CorruptError(object, 'removes a pin that its base does not have');
  for (const id of split(added)) {
    if (set.has(toHex(id))) throw new CorruptError(object, 'adds a pin that its base has');
    set.set(toHex(id), id);
  }
  return joinSorted([...set.values()]);
}

function* split(ids: Uint8Array): Iterable<Uint8Array> {
  for (let at = 0; at < ids.byteLength; at += 32) yield ids.subarray(at, at + 32);
}

/** Joined ids in rising order. */
export function joinSorted(ids: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(ids.length * 32);
  for (const [i, id] of [...ids].sort(compareBytes).entries()) out.set(id, i * 32);
  return out;
}

/**
 * How a new manifest should write pins `ids` after the manifest `base` of the same stream: the difference when that is shorter and the chain not too long.
 */
export function encodePins(ids: Uint8Array, base: { id: Uint8Array; envelope: Envelope; ids: Uint8Array } | undefined): Pins {
  if (base === undefined || base.envelope.pins.depth >= MAX_PIN_DEPTH) return { depth: 0, ids };
  const have = new Set([...split(base.ids)].map(toHex));
  const want = new Set([...split(ids)].map(toHex));
  const removed = joinSorted([...split(base.ids)].filter((id) => !want.has(toHex(id))));
  const added = joinSorted([...split(ids)].filter((id) => !have.has(toHex(id))));
  if (removed.byteLength + added.byteLength + 32 >= ids.byteLength) return { depth: 0, ids };
  return { depth: base.envelope.pins.depth + 1, base: base.id, removed, added };
}

/** Whether joined rising ids hold `id`. */
export function hasPin(ids: Uint8Array, id: Uint8Array): boolean {
  let low = 0;
  let high = ids.byteLength / 32;
  while (low < high) {
    const middle = (low + high) >> 1;
    const candidate = ids.subarray(middle * 32, middle * 32 + 32);
    if (equalBytes(candidate, id)) return true;
    if (compareBytes(candidate, id) < 0) low = middle + 1;
    else high = middle;
  }
  return false;
}
