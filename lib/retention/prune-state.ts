/**
 * Reads what pruning goes by: ledger, envelopes of manifests, headers of index objects and packs, sizes and ages. Needs no key of content, and decides
 * nothing; prune-plan.ts does.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { toHex } from '../bytes.js';
import { CorruptError, InterruptedError, NewerFormatError, NotFoundError } from '../errors.js';
import { decodeIndexHeader, INDEX_HEADER_BYTES } from '../format/index-object.js';
import { entryName, packName, parseIdName, parsePackName } from '../format/names.js';
import { decodePackHeader, PACK_HEADER_BYTES } from '../format/pack.js';
import { type PruneList, payloadOf } from '../format/payload.js';
import { asId } from '../id.js';
import { type Ledger, loadLedger } from '../ledger/ledger.js';
import { readEnvelope } from '../ledger/snapshots.js';
import { disowned, receiptsOf, standings } from '../ledger/standing.js';
import { PackTable, pinNode } from './pin-locks.js';
import { currentPolicy, termsOf } from './policy.js';
import {
  type Intent,
  indexCandidates,
  type PruneInput,
  type PrunePlan,
  planPacks,
  type StoredManifest,
  spareRunning,
  withIndexes,
} from './prune-plan.js';
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
const BATCH = 64;

function* hexesOf(joined: Uint8Array): Iterable<string> {
  for (let at = 0; at < joined.byteLength; at += 32) yield toHex(joined.subarray(at, at + 32));
}

/** Lets other work run now and then. @throws InterruptedError */
class Breath {
  #count = 0;
  readonly #signal: AbortSignal | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  async take(): Promise<void> {
    if (++this.#count % BATCH !== 0) return;
    await nextTurn();
    if (this.#signal?.aborted === true) throw new InterruptedError('prune');
  }
}

const isDamage = (error: unknown): boolean => error instanceof CorruptError || error instanceof NewerFormatError;

/** Reads the state at `nowSec` and plans. @throws CorruptError, RolledBackError, StoreError, InterruptedError */
export async function readPruneState(place: RetentionPlace, nowSec: number, options: ReadOptions = {}): Promise<PruneState> {
  const breath = new Breath(options.signal);
  // The ledger first: a manifest is stored before the entry that names it, so none that is named can be missing.
  const ledger = await loadLedger(place);
  const { waitSec } = termsOf(currentPolicy(ledger.entries));
  const sizes = new Map<string, { sizeBytes: number; storedSec: number }>();
  // What a store cannot date is never old enough.
  const dated = ({ storedMs }: { storedMs?: number }): number => (storedMs === undefined ? nowSec : storedMs / 1000);
  for await (const info of place.store.list('packs/')) {
    const id = parsePackName(info.name);
    if (id !== undefined) sizes.set(toHex(id), { sizeBytes: info.sizeBytes, storedSec: dated(info) });
  }
  const packs = new PackTable(sizes.keys());
  const packBytes = new Float64Array(packs.count);
  const packStoredSec = new Float64Array(packs.count);
  for (const [hex, { sizeBytes, storedSec }] of sizes) {
    packBytes[packs.number(hex)!] = sizeBytes;
    packStoredSec[packs.number(hex)!] = storedSec;
  }
  const manifests = await readManifests(place, packs, dated, breath);
  const indexes = await readIndexes(place, dated, breath);
  const snapshots = standings(ledger, nowSec);
  const listed = new Set(snapshots.filter(({ pruned, overtaken }) => !pruned && !overtaken).map(({ id }) => toHex(id)));
  const exists = {
    packs: (hex: string) => sizes.has(hex),
    snapshots: (hex: string) => manifests.has(hex) || listed.has(hex),
    indexes: (hex: string) => indexes.has(hex),
  };
  const input: PruneInput = {
    nowSec,
    waitSec,
    snapshots,
    disowned: disowned(ledger),
    manifests,
    packs,
    packBytes,
    packStoredSec,
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
    const id = parseIdName('snapshots', info.name);
    if (id === undefined) continue;
    await breath.take();
    const storedSec = dated(info);
    try {
      const { envelope } = await readEnvelope(place, id);
      const indexIds = envelope.indexIds.map(toHex);
      manifests.set(toHex(id), {
        storedSec,
        session: toHex(envelope.session),
        indexes: indexIds,
        pins: pinNode(packs, envelope),
      });
    } catch (error) {
      if (error instanceof NotFoundError) continue;
      if (!isDamage(error)) throw error;
      manifests.set(toHex(id), { storedSec, session: '', indexes: [], pins: undefined });
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
    const id = parseIdName('index', info.name);
    if (id === undefined) continue;
    await breath.take();
    let session: string | undefined;
    try {
      const header = await place.store.get(info.name, { offset: 0, length: INDEX_HEADER_BYTES });
      session = toHex(decodeIndexHeader(header, info.name).session);
    } catch (error) {
      if (error instanceof NotFoundError) continue;
      if (!isDamage(error)) throw error;
    }
    indexes.set(toHex(id), { storedSec: dated(info), session });
  }
  return indexes;
}

/** Intents that name something which is still there. Each stands since the latest that its author, a vault and the store say. */
async function readIntents(
  place: RetentionPlace,
  ledger: Ledger,
  exists: Record<keyof PruneList, (hex: string) => boolean>,
): Promise<Intent[]> {
  const receipts = receiptsOf(ledger);
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
  const sessions = new Map<number, string | undefined>();
  const read = async (wanted: (number: number) => boolean): Promise<void> => {
    for (let number = 0; number < input.packs.count; number++) {
      if (sessions.has(number) || !wanted(number)) continue;
      await breath.take();
      const name = packName(input.packs.id(number));
      try {
        const header = await place.store.get(name, { offset: 0, length: PACK_HEADER_BYTES });
        sessions.set(number, toHex(decodePackHeader(header, name).session));
      } catch (error) {
        if (!isDamage(error) && !(error instanceof NotFoundError)) throw error;
        sessions.set(number, undefined);
      }
    }
  };
  const sessionOf = (number: number): string | undefined => sessions.get(number);
  let plan = planPacks(input);
  if (plan.packs.some(({ state }) => state === 'orphan')) {
    await read((number) => ['orphan', 'fresh'].includes(plan.packs[number]!.state));
    plan = spareRunning(plan, input, sessionOf);
  }
  const candidates = indexCandidates(plan, input);
  if (candidates.length > 0) await read((number) => plan.packs[number]!.state !== 'ripe');
  return withIndexes(plan, input, candidates, sessionOf);
}
