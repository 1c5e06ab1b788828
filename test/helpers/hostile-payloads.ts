/** Payloads of every type with any value that can be written, and some that break a rule: what an attacker with a key might sign. */
import { fromHex, toHex } from '../../lib/bytes.js';
import { CborWriter } from '../../lib/format/cbor.js';
import { DEFAULT_TERMS, EntryType, MAX_SECOND, type Payload, type PolicyPayload } from '../../lib/format/payload.js';
import { joinSorted } from '../../lib/ledger/pins.js';
import { CAST, type Draft, type HostileHistory, NAMES, type Name } from './hostile-history.js';

const DAY = 86_400;

/** A policy with slots of all kinds, so that every order of times shows. */
export const SPREAD: PolicyPayload = {
  minimumSec: DAY,
  hourSec: 2 * DAY,
  daySec: 10 * DAY,
  weekSec: 30 * DAY,
  monthSec: 0,
  yearSec: 0,
  terms: { ...DEFAULT_TERMS, autoPrune: true, extensionSec: 20 * DAY },
};

const GREATEST = 2 ** 53 - 1;
const NONE = new Uint8Array(0);

const TYPES = Object.values(EntryType);
/** What changes most for others comes more often. */
const LIKELY = [
  EntryType.retire,
  EntryType.retire,
  EntryType.cert,
  EntryType.cert,
  EntryType.writerCert,
  EntryType.extend,
  EntryType.hold,
  EntryType.policy,
  EntryType.receipt,
  EntryType.receipt,
  EntryType.retireStream,
  EntryType.snapshot,
  EntryType.pruneDone,
] as const;

/** Some of the snapshots that are there, and perhaps one that is not. */
function someSnapshots(history: HostileHistory): Uint8Array {
  const { random, manifests } = history;
  const all = [...manifests.keys()];
  const some = random(3) === 0 ? all : all.filter(() => random(3) === 0);
  const ids = [...new Set(some)].map(fromHex);
  if (random(6) === 0) ids.push(history.newId());
  return random(12) === 0 ? NONE : joinSorted(ids);
}

function anyKey(history: HostileHistory): Uint8Array {
  return history.random(20) === 0 ? new Uint8Array(32).fill(7) : CAST[someName(history)].publicKey;
}

function someName(history: HostileHistory): Name {
  return history.one(NAMES.filter((name) => !history.without(name)));
}

/** The beginning of a chain, perhaps one that never was. */
function anyHead(history: HostileHistory): { author: Uint8Array; count: number; head: Uint8Array } {
  const { random } = history;
  const { author, hex } = CAST[someName(history)];
  const { hashes } = history.chain(hex);
  const kind = random(8);
  if (kind === 0) return { author, count: GREATEST, head: history.newId() };
  if (kind === 1) return { author, count: random(hashes.length + 1), head: history.newId() };
  const count = kind < 5 ? 0 : kind === 5 ? hashes.length : random(hashes.length + 1);
  return { author, count, head: count === 0 ? new Uint8Array(32) : hashes[count - 1]! };
}

const anyUntil = (history: HostileHistory): number => {
  const now = Math.floor(history.nowSec);
  return history.one([0, 1, now - DAY, now + DAY, now + 15 * DAY, now + 40 * DAY, now + 200 * DAY, MAX_SECOND]);
};

function anyPolicy(history: HostileHistory): PolicyPayload {
  const duration = (): number => history.one([0, 0, 1, DAY, 5 * DAY, 60 * DAY, MAX_SECOND]);
  const durations = {
    minimumSec: duration(),
    hourSec: duration(),
    daySec: duration(),
    weekSec: duration(),
    monthSec: duration(),
    yearSec: duration(),
  };
  if (history.random(4) === 0) return durations;
  const extensionSec = history.one([0, 1, DAY, 30 * DAY, MAX_SECOND]);
  const terms = {
    waitSec: duration(),
    longestSec: duration(),
    autoPrune: history.random(2) === 0,
    dailyBytes: history.one([0, 1, GREATEST]),
    dailySnapshots: history.one([0, 1, GREATEST]),
    classes: [],
    ...(extensionSec === 0 ? {} : { extensionSec }),
  };
  return { ...durations, terms };
}

/** Where an entry stands, or might. */
function anyPlace(history: HostileHistory): { author: Uint8Array; sequence: number } {
  const { author, hex } = CAST[someName(history)];
  const { length } = history.chain(hex).entries;
  return { author, sequence: history.random(10) === 0 ? GREATEST : history.random(length + 2) };
}

function anyReceipts(history: HostileHistory): Payload {
  const { random } = history;
  const receipts = Array.from({ length: random(5) }, () => {
    const { author, sequence } = anyPlace(history);
    const hash = history.chain(toHex(author)).hashes[sequence] ?? history.newId();
    return { author, sequence, hash, retainUntilSec: anyUntil(history), slots: random(32) };
  });
  return { type: EntryType.receipt, receipts };
}

/** What cannot be decoded as its type, or is of a type that nobody knows. */
function broken(history: HostileHistory): Draft['payload'] {
  const type = history.random(2) === 0 ? 200 : history.one(TYPES);
  const body = new CborWriter()
    .array(3)
    .int(history.one([0, GREATEST, -1]))
    .text('')
    .int(1);
  return { raw: { type, body: body.finish() } };
}

export function anyPayload(history: HostileHistory, by: Name): Draft['payload'] {
  const { random } = history;
  if (random(25) === 0) return broken(history);
  const type = random(3) === 0 ? history.one(TYPES) : by === 'evil' && random(2) === 0 ? EntryType.snapshot : history.one(LIKELY);
  const author = CAST[someName(history)].author;
  switch (type) {
    case EntryType.genesis:
      return { type };
    case EntryType.writerCert:
      return { type, publicKey: anyKey(history), domain: new Uint8Array(16).fill(random(2)) };
    case EntryType.cert:
      return { type, role: random(3), publicKey: anyKey(history) };
    case EntryType.retire:
      return { type, ...anyHead(history), reason: '' };
    case EntryType.policy:
      return { type, ...anyPolicy(history) };
    case EntryType.snapshot: {
      const own = random(3) > 0;
      const { id, stream, state } = own ? history.putManifest(by) : existing(history);
      return { type, manifest: id, stream, state, retainUntilSec: anyUntil(history), slots: random(32) };
    }
    case EntryType.extend:
      return { type, snapshots: someSnapshots(history), untilSec: anyUntil(history), reason: '' };
    case EntryType.hold:
      return { type, snapshots: someSnapshots(history), reason: '' };
    case EntryType.release:
      return { type, ...anyPlace(history), reason: '' };
    case EntryType.receipt:
      return anyReceipts(history);
    case EntryType.pruneIntent:
      return { type, packs: NONE, snapshots: someSnapshots(history), indexes: NONE };
    case EntryType.pruneDone:
      return { type, ...anyPlace(history), packs: NONE, snapshots: someSnapshots(history), indexes: NONE };
    case EntryType.keyRotate:
      return { type, role: random(2), publicKey: anyKey(history) };
    case EntryType.incident:
      return { type, code: 'x', detail: '' };
    case EntryType.tags:
      return { type, domain: new Uint8Array(16).fill(random(2)), sealed: new Uint8Array(40) };
    case EntryType.acceptFork:
      return { type, heads: Array.from({ length: random(3) }, () => anyHead(history)), reason: '' };
    case EntryType.attest:
      return { type, snapshots: someSnapshots(history), statement: '' };
    case EntryType.check: {
      const bad = random(2);
      const counts = { packs: GREATEST, bytes: GREATEST, badCount: bad, bad: bad === 0 ? NONE : history.newId() };
      const range = { first: new Uint8Array(32), last: new Uint8Array(32).fill(255) };
      return { type, level: random(4), ...range, coversSec: MAX_SECOND, heads: history.newId(), startedSec: 0, ...counts };
    }
    case EntryType.drill: {
      const about = { type, drill: new Uint8Array(16), snapshots: someSnapshots(history) };
      return random(2) === 0 ? { ...about, phase: 0 } : { ...about, phase: 1, verdict: random(3), record: new Uint8Array(32) };
    }
    case EntryType.copy:
      return {
        type,
        direction: random(2),
        other: history.newId(),
        snapshots: someSnapshots(history),
        heads: history.newId(),
        bytes: GREATEST,
        level: random(4),
      };
    case EntryType.slots: {
      const id = new Uint8Array(8).fill(random(3));
      return random(2) === 0
        ? { type, added: [{ id, label: 'x', digest: history.newId() }], removed: [] }
        : { type, added: [], removed: random(2) === 0 ? [] : [id] };
    }
    case EntryType.retireStream:
      return { type, author, stream: new Uint8Array(16).fill(random(2)), reason: '' };
  }
}

/** A manifest that is there already, named as it is or otherwise. */
function existing(history: HostileHistory): { id: Uint8Array; stream: Uint8Array; state: number } {
  const all = [...history.manifests];
  if (all.length === 0) return { id: history.newId(), stream: new Uint8Array(16), state: 0 };
  const [hex, { stream, state }] = history.one(all);
  return history.random(2) === 0
    ? { id: fromHex(hex), stream, state }
    : { id: fromHex(hex), stream: new Uint8Array(16).fill(history.random(2)), state: 1 - state };
}
