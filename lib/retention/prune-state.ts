/**
 * Reads what pruning goes by: ledger, envelopes of manifests, headers of index objects and packs, sizes and ages. Needs no key of content, and decides
 * nothing; prune-plan.ts does.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fromHex, toHex } from '../bytes.js';
import { CorruptError, InterruptedError, NewerFormatError, NotFoundError } from '../errors.js';
import { decodeIndexHeader, INDEX_HEADER_BYTES } from '../format/index-object.js';
import { entryName, idHexOf, packHexOf } from '../format/names.js';
import { type PruneList, payloadOf } from '../format/payload.js';
import { asId, hexesOf } from '../id.js';
import { type Ledger, loadLedger } from '../ledger/ledger.js';
import { readEnvelope } from '../ledger/snapshots.js';
import { disowned, standings } from '../ledger/standing.js';
import { PackSessions } from './pack-sessions.js';
import { PackListing, type PackTable } from './pack-table.js';
import { pinNode } from './pin-locks.js';
import { currentPolicy, termsOf } from './policy.js';
import { type Intent, type PruneInput, type PrunePlan, planPacks, type StoredManifest } from './prune-plan.js';
import { indexCandidates, mayBeRunning, packsOfIndexes, type SessionOf, spareRunning, withIndexes } from './prune-sessions.js';
import type { RetentionPlace } from './signer.js';

/** Ids, hex, that prune-done entries name already. */
export type DoneIds = Readonly<Record<keyof PruneList, ReadonlySet<string>>>;

export interface PruneState {
  readonly ledger: Ledger;
  readonly input: PruneInput;
  readonly plan: PrunePlan;
  readonly done: DoneIds;
}

export interface ReadOptions {
  readonly only?: ReadonlySet<string>;
  readonly signal?: AbortSignal;
}

const KINDS = ['packs', 'snapshots', 'indexes'] as const;
/** How often the clock is looked at, and how long others wait. */
const BATCH = 64;
const TURN_MS = 5;

/** Lets other work run now and then. @throws InterruptedError */
class Breath {
  #count = 0;
  #since = performance.now();
  readonly #signal: AbortSignal | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** Undefined when it is not time yet, so that nothing is awaited a hundred thousand times. */
  take(): Promise<void> | undefined {
    if (++this.#count % BATCH !== 0 || performance.now() - this.#since < TURN_MS) return undefined;
    return this.#rest();
  }

  async #rest(): Promise<void> {
    await nextTurn();
    if (this.#signal?.aborted === true) throw new InterruptedError('prune');
    this.#since = performance.now();
  }
}

const isDamage = (error: unknown): boolean => error instanceof CorruptError || error instanceof NewerFormatError;

/** Reads the state at `nowSec` and plans. @throws CorruptError, RolledBackError, StoreError, InterruptedError */
export async function readPruneState(place: RetentionPlace, nowSec: number, options: ReadOptions = {}): Promise<PruneState> {
  const breath = new Breath(options.signal);
  // The ledger first: a manifest is stored before the entry that names it, so none that is named can be missing.
  const ledger = await loadLedger(place);
  const { waitSec } = termsOf(currentPolicy(ledger.entries));
  // What a store cannot date is never old enough.
  const dated = ({ storedMs }: { storedMs?: number }): number => (storedMs === undefined ? nowSec : storedMs / 1000);
  const listing = new PackListing();
  for await (const info of place.store.list('packs/')) {
    const hex = packHexOf(info.name);
    if (hex !== undefined) listing.add(hex, info.sizeBytes, dated(info));
  }
  const listed = listing.finish();
  const { packs } = listed;
  const manifests = await readManifests(place, packs, dated, breath);
  const indexes = await readIndexes(place, dated, breath);
  const snapshots = standings(ledger, nowSec);
  const onList = new Set(snapshots.filter(({ pruned, overtaken }) => !pruned && !overtaken).map(({ id }) => toHex(id)));
  const exists = {
    packs: (hex: string) => packs.number(hex) !== undefined,
    snapshots: (hex: string) => manifests.has(hex) || onList.has(hex),
    indexes: (hex: string) => indexes.has(hex),
  };
  const input: PruneInput = {
    nowSec,
    waitSec,
    snapshots,
    disowned: disowned(ledger),
    manifests,
    ...listed,
    indexes,
    intents: await readIntents(place, ledger, exists),
    ...(options.only === undefined ? {} : { only: options.only }),
  };
  return { ledger, input, plan: await planWithSessions(place, input, breath), done: doneIds(ledger, exists) };
}

async function readManifests(
  place: RetentionPlace,
  packs: PackTable,
  dated: (info: { storedMs?: number }) => number,
  breath: Breath,
): Promise<Map<string, StoredManifest>> {
  const manifests = new Map<string, StoredManifest>();
  for await (const info of place.store.list('snapshots/')) {
    const hex = idHexOf('snapshots', info.name);
    if (hex === undefined) continue;
    await breath.take();
    const storedSec = dated(info);
    try {
      const { envelope } = await readEnvelope(place, fromHex(hex));
      const indexIds = envelope.indexIds.map(toHex);
      manifests.set(hex, {
        storedSec,
        session: toHex(envelope.session),
        indexes: indexIds,
        pins: pinNode(packs, envelope),
      });
    } catch (error) {
      if (error instanceof NotFoundError) continue;
      if (!isDamage(error)) throw error;
      manifests.set(hex, { storedSec, session: '', indexes: [], pins: undefined });
    }
  }
  return manifests;
}

async function readIndexes(
  place: RetentionPlace,
  dated: (info: { storedMs?: number }) => number,
  breath: Breath,
): Promise<Map<string, { storedSec: number; session: string | undefined }>> {
  const indexes = new Map<string, { storedSec: number; session: string | undefined }>();
  for await (const info of place.store.list('index/')) {
    const hex = idHexOf('index', info.name);
    if (hex === undefined) continue;
    await breath.take();
    let session: string | undefined;
    try {
      const header = await place.store.get(info.name, { offset: 0, length: INDEX_HEADER_BYTES });
      session = toHex(decodeIndexHeader(header, info.name).session);
    } catch (error) {
      if (error instanceof NotFoundError) continue;
      if (!isDamage(error)) throw error;
    }
    indexes.set(hex, { storedSec: dated(info), session });
  }
  return indexes;
}

/** Intents that name something which is still there. Each stands since the latest that its author, a vault and the store say. */
async function readIntents(
  place: RetentionPlace,
  ledger: Ledger,
  exists: Record<keyof PruneList, (hex: string) => boolean>,
): Promise<Intent[]> {
  const { receipts } = ledger;
  const intents: Intent[] = [];
  for (const { author, sequence, time, payload } of ledger.entries) {
    const intent = payloadOf(payload, 'pruneIntent');
    if (intent === undefined || !KINDS.some((kind) => [...hexesOf(intent[kind])].some(exists[kind]))) continue;
    const received = receipts.get(`${toHex(author)}/${sequence}`)?.time.sec ?? 0;
    const { storedMs = 0 } = (await place.store.stat(entryName(asId('author', author), sequence))) ?? {};
    const { packs, snapshots, indexes } = intent;
    intents.push({ author, sequence, sinceSec: Math.max(time.sec, received, storedMs / 1000), packs, snapshots, indexes });
  }
  return intents;
}

function doneIds(ledger: Ledger, exists: Record<keyof PruneList, (hex: string) => boolean>): DoneIds {
  const done = { packs: new Set<string>(), snapshots: new Set<string>(), indexes: new Set<string>() };
  for (const { payload } of ledger.entries) {
    const entry = payloadOf(payload, 'pruneDone');
    if (entry === undefined) continue;
    for (const kind of KINDS) for (const hex of hexesOf(entry[kind])) if (exists[kind](hex)) done[kind].add(hex);
  }
  return done;
}

/** Plans, reading the sessions of packs as far as they matter. */
async function planWithSessions(place: RetentionPlace, input: PruneInput, breath: Breath): Promise<PrunePlan> {
  let opened: PackSessions | undefined;
  const sessionsOf = async (wanted: ((number: number) => boolean) | undefined): Promise<SessionOf> => {
    if (wanted === undefined) return () => undefined;
    opened ??= await PackSessions.open(input.packs, place.cacheDir);
    await opened.read(place.store, wanted, () => breath.take());
    return (number) => opened!.of(number);
  };
  try {
    const plan = planPacks(input);
    const spared = spareRunning(plan, input, await sessionsOf(mayBeRunning(plan)));
    const candidates = indexCandidates(spared, input);
    return withIndexes(spared, input, candidates, await sessionsOf(packsOfIndexes(spared, input, candidates)));
  } finally {
    await opened?.save();
  }
}
