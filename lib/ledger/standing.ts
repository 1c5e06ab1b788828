/**
 * How every snapshot stands by the ledger: when it was received, until when it is kept and why, who holds it, and whether it was pruned. Pure, and
 * without any content key, so that a writer, a vault and a pruner come to the same answer (docs/format.md §11, docs/security.md).
 */
import { EMPTY, toHex } from '../bytes.js';
import type { LedgerEntry } from '../format/entry.js';
import { State } from '../format/manifest.js';
import { payloadOf, type Receipt, type SnapshotPayload } from '../format/payload.js';
import { compareTimes, type Timestamp } from '../format/time.js';
import { asId, hexesOf, type SnapshotId } from '../id.js';
import { boundedTime, entryKey, type Ledger, type Received } from './state.js';
import { VaultExtensions } from './vault-extensions.js';

export interface Hold {
  readonly author: Uint8Array;
  readonly sequence: number;
  readonly reason: string;
  readonly time: Timestamp;
}

export interface Standing {
  readonly id: SnapshotId;
  readonly entry: LedgerEntry;
  readonly payload: SnapshotPayload;
  /** The vault's time where a vault acknowledged it, else its author's. */
  readonly received: Timestamp;
  readonly receipt?: Receipt;
  /** The longest that anybody promised. */
  readonly retainUntilSec: number;
  /** Holds that were not released. */
  readonly holds: readonly Hold[];
  /** The newest complete one of its writer and stream: it never expires. */
  readonly newest: boolean;
  /**
   * From this second on nothing keeps it: the latest of what was promised, of the releases of its holds, and of the arrival of a newer complete one of its
   * stream. Infinity while it is held or the newest.
   */
  readonly freeSec: number;
  /** Its manifest was pruned, rightly. */
  readonly pruned: boolean;
  /**
   * Only what was said after it had been pruned, rightly by what was said till then, speaks for keeping it: holds and extensions that came too late. As long as its manifest is
   * there they count; once it is not, the snapshot is gone, and nothing is missing.
   */
  readonly overtaken: boolean;
}

/** Whether nothing keeps a snapshot at `nowSec`. */
export function hasExpired({ freeSec }: Pick<Standing, 'freeSec'>, nowSec: number): boolean {
  return nowSec >= freeSec;
}

/** Writer and stream: what slots and `newest` go by. */
export function seriesOf({ entry, payload }: Pick<Standing, 'entry' | 'payload'>): string {
  return `${toHex(entry.author)}/${toHex(payload.stream)}`;
}

/** Ids, hex, of what intents to prune name: nothing new may rest on it. */
export function intended(entries: readonly LedgerEntry[]): { packs: Set<string>; snapshots: Set<string> } {
  const found = { packs: new Set<string>(), snapshots: new Set<string>() };
  for (const { payload } of entries) {
    const intent = payloadOf(payload, 'pruneIntent');
    for (const id of hexesOf(intent?.packs ?? EMPTY)) found.packs.add(id);
    for (const id of hexesOf(intent?.snapshots ?? EMPTY)) found.snapshots.add(id);
  }
  return found;
}

/** When something was said: by its receipt where there is one, else by its author; of equal times, by its place in merged order. */
interface Moment {
  readonly time: Timestamp;
  readonly at: number;
}

const isBefore = (a: Moment, b: Moment): boolean => (compareTimes(a.time, b.time) || a.at - b.at) < 0;

interface Held {
  readonly hold: Hold;
  readonly said: Moment;
  /** Infinity while it stands. */
  releasedSec: number;
}

interface Extended {
  readonly untilSec: number;
  readonly said: Moment;
}

/** A prune-done entry that names a snapshot. */
interface Done {
  readonly entry: LedgerEntry;
  readonly said: Moment;
}

/** What was said about snapshots after they were committed, by snapshot id in hex. */
interface Sayings {
  readonly receipts: ReadonlyMap<string, Received>;
  readonly extensions: Map<string, Extended[]>;
  readonly holds: Map<string, Held[]>;
  readonly dones: Map<string, Done[]>;
}

function push<T>(map: Map<string, T[]>, key: string, item: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [item]);
  else list.push(item);
}

function sayingsOf(ledger: Ledger): Sayings {
  const { receipts } = ledger;
  const extensions: Sayings['extensions'] = new Map();
  const holds: Sayings['holds'] = new Map();
  const dones: Sayings['dones'] = new Map();
  const byKey = new Map<string, Held>();
  const bounded = new VaultExtensions(ledger);
  for (const [at, entry] of ledger.entries.entries()) {
    const { author, sequence, payload } = entry;
    const said: Moment = { time: ledger.times[at]!, at };
    const extend = payloadOf(payload, 'extend');
    if (extend !== undefined && bounded.allow(entry))
      for (const id of hexesOf(extend.snapshots)) push(extensions, id, { untilSec: extend.untilSec, said });
    for (const id of hexesOf(payloadOf(payload, 'pruneDone')?.snapshots ?? EMPTY)) push(dones, id, { entry, said });
    const hold = payloadOf(payload, 'hold');
    if (hold !== undefined) {
      const held: Held = {
        hold: { author, sequence, time: said.time, reason: hold.reason },
        said,
        releasedSec: Number.POSITIVE_INFINITY,
      };
      byKey.set(entryKey(entry), held);
      for (const id of hexesOf(hold.snapshots)) push(holds, id, held);
    }
    // A hold can only be released after it was placed: nobody releases those to come.
    const release = payloadOf(payload, 'release');
    const held = release === undefined ? undefined : byKey.get(entryKey(release));
    if (held !== undefined && held.releasedSec === Number.POSITIVE_INFINITY) held.releasedSec = said.time.sec;
  }
  return { receipts, extensions, holds, dones };
}

/**
 * When nothing keeps a snapshot any more, by all that the ledger says: later words count for earlier ones too, since times can lie. With `till`, by the holds and
 * extensions from before that moment only.
 */
function freeFrom(
  hex: string,
  promised: number,
  supersededSec: number,
  { extensions, holds }: Sayings,
  till?: Moment,
): { retainUntilSec: number; freeSec: number } {
  const counts = ({ said }: { said: Moment }): boolean => till === undefined || isBefore(said, till);
  const extended = (extensions.get(hex) ?? []).filter(counts).map(({ untilSec }) => untilSec);
  const retainUntilSec = Math.max(promised, ...extended);
  const released = (holds.get(hex) ?? []).filter(counts).map(({ releasedSec }) => releasedSec);
  return { retainUntilSec, freeSec: Math.max(retainUntilSec, supersededSec, ...released) };
}

/** The latest of what an entry and its receipt promise. */
function promisedSec(entry: LedgerEntry, payload: SnapshotPayload, { receipts }: Pick<Sayings, 'receipts'>): number {
  return Math.max(payload.retainUntilSec, receipts.get(entryKey(entry))?.receipt.retainUntilSec ?? 0);
}

function standingOf(
  { entry, payload, received }: Pick<Committed, 'entry' | 'payload' | 'received'>,
  promised: number,
  supersededSec: number,
  sayings: Sayings,
): Standing {
  const hex = toHex(payload.manifest);
  const acknowledged = sayings.receipts.get(entryKey(entry));
  return {
    id: asId('snapshot', payload.manifest),
    entry,
    payload,
    received,
    ...(acknowledged === undefined ? {} : { receipt: acknowledged.receipt }),
    ...freeFrom(hex, promised, supersededSec, sayings),
    holds: (sayings.holds.get(hex) ?? [])
      .filter(({ releasedSec }) => releasedSec === Number.POSITIVE_INFINITY)
      .map(({ hold }) => hold),
    newest: supersededSec === Number.POSITIVE_INFINITY,
    pruned: false,
    overtaken: false,
  };
}

/** A snapshot entry, when it was received, and when a newer complete one of its series came; 0 for a partial one. */
interface Committed {
  readonly entry: LedgerEntry;
  readonly payload: SnapshotPayload;
  readonly received: Timestamp;
  supersededSec: number;
}

/** Entries by manifest, hex, in merged order. */
function committed({ entries, times }: Ledger): Map<string, Committed[]> {
  const all: Committed[] = [];
  // Any later complete one of the stream supersedes, and so does an admin that retires the stream; the earliest of their times counts.
  const next = new Map<string, number>();
  const supersede = (series: string, sec: number): void => {
    next.set(series, Math.min(next.get(series) ?? Number.POSITIVE_INFINITY, sec));
  };
  for (let at = entries.length - 1; at >= 0; at--) {
    const entry = entries[at]!;
    const received = times[at]!;
    const retired = payloadOf(entry.payload, 'retireStream');
    if (retired !== undefined) supersede(`${toHex(retired.author)}/${toHex(retired.stream)}`, received.sec);
    const payload = payloadOf(entry.payload, 'snapshot');
    if (payload === undefined) continue;
    const item = { entry, payload, received, supersededSec: 0 };
    all.push(item);
    if (payload.state !== State.complete) continue;
    const series = seriesOf(item);
    item.supersededSec = next.get(series) ?? Number.POSITIVE_INFINITY;
    supersede(series, received.sec);
  }
  const found = new Map<string, Committed[]>();
  for (const item of all.reverse()) push(found, toHex(item.payload.manifest), item);
  return found;
}

/**
 * Every snapshot in merged order. Of several entries for one manifest the first that the manifest does not belie is listed, and it is kept as long as the longest of
 * them says: nobody shortens what another promised by naming it again.
 *
 * @param nowSec - what is said to have been pruned later than this is not believed yet
 */
export function standings(ledger: Ledger, nowSec: number = Date.now() / 1000): Standing[] {
  return judged(ledger, nowSec).map(({ standing }) => standing);
}

/** Prune-done entries that name a snapshot which had not expired then, by what was said till then; and those snapshots. */
export function wrongPrunes(ledger: Ledger, nowSec: number = Date.now() / 1000): { entry: LedgerEntry; snapshot: string }[] {
  return judged(ledger, nowSec).flatMap(({ standing, wrong }) => wrong.map((entry) => ({ entry, snapshot: toHex(standing.id) })));
}

/** Every snapshot, and the prune-done entries about it that were not right. */
function judged(ledger: Ledger, nowSec: number): { standing: Standing; wrong: LedgerEntry[] }[] {
  const snapshots = committed(ledger);
  const sayings = sayingsOf(ledger);
  const result: { standing: Standing; wrong: LedgerEntry[] }[] = [];
  const belied = ledger.falseClaims;
  const besides = disownedPromises(ledger);
  for (const [hex, items] of snapshots) {
    const listed = items.find(({ entry }) => belied?.has(entryKey(entry)) !== true) ?? items[0]!;
    const promised = Math.max(besides.get(hex) ?? 0, ...items.map(({ entry, payload }) => promisedSec(entry, payload, sayings)));
    const supersededSec = Math.max(...items.map((item) => item.supersededSec));
    const standing = standingOf(listed, promised, supersededSec, sayings);
    // What says that a snapshot was pruned which was still to be kept is not believed: it stays listed, and its absence is noticed.
    const dones = sayings.dones.get(hex) ?? [];
    const isRight = (free: { freeSec: number }, { said }: Done): boolean => hasExpired(free, Math.min(said.time.sec, nowSec));
    const wasRight = (done: Done): boolean => isRight(freeFrom(hex, promised, supersededSec, sayings, done.said), done);
    const wrong = dones.filter((done) => !wasRight(done));
    const pruned = dones.some((done) => isRight(standing, done));
    const overtaken = !pruned && wrong.length < dones.length;
    result.push({ standing: { ...standing, pruned, overtaken }, wrong: wrong.map(({ entry }) => entry) });
  }
  if (belied === undefined) return result;
  // Manifests stand in the order in which they were first named, truly or not.
  const order = new Map(ledger.entries.map((entry, i) => [entryKey(entry), i]));
  return result.sort((a, b) => order.get(entryKey(a.standing.entry))! - order.get(entryKey(b.standing.entry))!);
}

/** Snapshot entries that do not count: behind an end, or written by whom only certificates that do not count any more made a writer. */
function* disownedEntries({
  chains,
}: Ledger): Generator<{ entry: LedgerEntry; payload: SnapshotPayload; storedMs: number | undefined }> {
  for (const { entries, limit, voids, dropped, storedMs } of chains)
    for (const entry of entries) {
      if ((entry.sequence < limit && dropped?.has(entry.sequence) !== true) || voids.has(entry.sequence)) continue;
      const payload = payloadOf(entry.payload, 'snapshot');
      if (payload !== undefined) yield { entry, payload, storedMs: storedMs?.[entry.sequence] };
    }
}

/** By manifest, hex, the longest that such entries promise: who names a manifest again shortens nothing. */
function disownedPromises(ledger: Ledger): Map<string, number> {
  const found = new Map<string, number>();
  for (const { entry, payload } of disownedEntries(ledger)) {
    const hex = toHex(payload.manifest);
    found.set(hex, Math.max(found.get(hex) ?? 0, promisedSec(entry, payload, ledger)));
  }
  return found;
}

/**
 * Snapshots behind the end of a chain: their author was retired, and a smaller count disowned them. They are not listed, but what was promised for them
 * stands: a retirement deletes nothing.
 */
export function disowned(ledger: Ledger): Standing[] {
  const sayings = sayingsOf(ledger);
  const found: Standing[] = [];
  for (const { entry, payload, storedMs } of disownedEntries(ledger)) {
    const received = ledger.receipts.get(entryKey(entry))?.time ?? boundedTime(entry, storedMs);
    found.push(standingOf({ entry, payload, received }, promisedSec(entry, payload, sayings), 0, sayings));
  }
  return found;
}
