/** Makes a finished run visible: manifest, retention, ledger entry, in this order, each durable before the next (docs/format.md §13). */
import { concat, equalBytes, toHex } from '../bytes.js';
import { seal } from '../crypto/envelope.js';
import { sha256 } from '../crypto/kdf.js';
import { manifestKey } from '../crypto/session.js';
import { StoreError } from '../errors.js';
import type { LedgerEntry } from '../format/entry.js';
import {
  decodeEnvelope,
  decodeManifestBody,
  type Envelope,
  encodeEnvelope,
  encodeManifestBody,
  type ManifestBody,
  manifestAad,
  State,
} from '../format/manifest.js';
import { entryName, manifestName, packName } from '../format/names.js';
import { EntryType } from '../format/payload.js';
import { timeOfMs } from '../format/time.js';
import { asId, type SnapshotId, type StreamId } from '../id.js';
import { appendEntry, mustHaveCounted } from '../ledger/append.js';
import { type Ledger, loadLedger } from '../ledger/ledger.js';
import { encodePins, joinSorted, resolvePins } from '../ledger/pins.js';
import { readEnvelope, type SnapshotRecord, snapshotRecords } from '../ledger/snapshots.js';
import { intended, standings } from '../ledger/standing.js';
import { listPacks } from '../repository/open-index.js';
import type { Repository } from '../repository/repository.js';
import { classFor, currentPolicy } from '../retention/policy.js';
import { retain } from '../retention/slots.js';
import { isGuardedStore } from '../store/store.js';
import type { Run } from './run.js';

export interface Committed {
  readonly id: SnapshotId;
  readonly retainUntilSec: number;
  readonly slots: number;
  readonly class?: string;
  readonly entry: LedgerEntry;
}

export interface CommitInput {
  readonly stream: StreamId;
  readonly body: ManifestBody;
  readonly startedMs: number;
  readonly claimedMs: number;
  readonly complete: boolean;
}

/** For so long what was found in the store is relied on; an intent to prune stands for a day at least. */
const CHECK_HOLDS_MS = 3_600_000;

const sameSeries = ({ entry, payload }: SnapshotRecord, writer: Uint8Array, stream: Uint8Array): boolean =>
  equalBytes(entry.author, writer) && equalBytes(payload.stream, stream);

const isComplete = ({ payload }: SnapshotRecord): boolean => payload.state === State.complete;

/** The last manifest of this writer and stream, to write pins as a difference to it; undefined if there is none that can be read. */
async function previousPins(
  repository: Repository,
  run: Run,
  ledger: Ledger,
  stream: StreamId,
): Promise<{ id: Uint8Array; envelope: Envelope; ids: Uint8Array } | undefined> {
  // One that is to be pruned must not become a base: it could be gone before this manifest is there to keep it.
  const { snapshots: going } = intended(ledger.entries);
  const previous = snapshotRecords(ledger)
    .filter((record) => sameSeries(record, run.keys.writer, stream) && !going.has(toHex(record.id)))
    .at(-1);
  if (previous === undefined) return undefined;
  const read = async (id: Uint8Array): Promise<Envelope> => (await readEnvelope(repository, id)).envelope;
  try {
    const envelope = await read(previous.id);
    return { id: previous.id, envelope, ids: await resolvePins(envelope, read, manifestName(previous.id)) };
  } catch {
    return undefined; // a damaged predecessor costs a full list
  }
}

/**
 * Packs that may have been lost since the run began: gone from the store, or named by an intent to prune. Looked at last, with the ledger and the packs as they are
 * now: a pack that passes cannot be deleted before this snapshot is there to keep it, for an intent stands a day at least before anything is deleted.
 *
 * @throws StoreError if one is lost; the next run stores what it held anew
 */
function mustBeThere(ledger: Ledger, stored: ReadonlyMap<string, number>, ids: readonly Uint8Array[]): void {
  const { packs: going } = intended(ledger.entries);
  const lost = ids.map(toHex).filter((hex) => going.has(hex) || !stored.has(hex));
  if (lost.length > 0)
    throw new StoreError(
      packName(ids.find((id) => toHex(id) === lost[0])!),
      'pin',
      new Error(`${lost.length} packs that this run relied on were pruned meanwhile; run it again, it will store what they held`),
    );
}

/** Commits the snapshot of a run whose packs and index objects are durable. @throws StoreError, RoleError; nothing is then visible */
export async function commit(repository: Repository, run: Run, input: CommitInput, nowMs: () => number): Promise<Committed> {
  const { ids, bytes: pinBytes } = run.pins();
  const joined = joinSorted(ids);
  const checkedMs = nowMs();
  const [ledger, stored] = await Promise.all([loadLedger(repository), listPacks(repository)]);
  mustBeThere(ledger, stored, ids);
  const { writer, domain, session, sealed, sessionKey } = run.keys;
  const envelope: Envelope = {
    repository: repository.id,
    writer,
    domain,
    session,
    ...sealed,
    stream: input.stream,
    started: timeOfMs(input.startedMs),
    finished: timeOfMs(nowMs()),
    claimed: timeOfMs(input.claimedMs),
    state: input.complete ? State.complete : State.partial,
    pins: encodePins(joined, await previousPins(repository, run, ledger, input.stream)),
    pinCount: ids.length,
    pinBytes,
    newBytes: run.storedBytes,
    indexIds: run.indexIds,
  };
  const head = encodeEnvelope(envelope);
  const body = encodeManifestBody(input.body);
  const bytes = concat(head, seal(manifestKey(sessionKey, session), manifestAad(sha256(head)), body));
  const id = asId('snapshot', sha256(bytes));
  decodeEnvelope(bytes, manifestName(id));
  decodeManifestBody(body, manifestName(id));
  await repository.store.put(manifestName(id), [bytes]);

  const receivedMs = nowMs();
  const receivedSec = Math.floor(receivedMs / 1000);
  const policy = currentPolicy(ledger.entries);
  const chosen = classFor(policy, input.body);
  const name = chosen === undefined ? {} : { class: chosen.name };
  const earlier = standings(ledger).filter(
    (other) => sameSeries(other, writer, input.stream) && other.payload.class === name.class,
  );
  const kept = retain(
    policy,
    chosen,
    receivedSec,
    input.complete,
    earlier.filter(isComplete).map(({ received }) => received.sec),
  );
  const payload = { type: EntryType.snapshot, manifest: id, stream: input.stream, state: envelope.state, ...kept, ...name };
  const entry = await appendEntry(repository, repository.keyring.writer?.seed, timeOfMs(receivedMs), () => {
    // A machine that slept since would commit what was announced and pruned meanwhile.
    if (Math.abs(nowMs() - checkedMs) > CHECK_HOLDS_MS)
      throw new StoreError(
        manifestName(id),
        'commit',
        new Error('the clock went on by more than an hour meanwhile; run it again'),
      );
    return payload;
  });
  // A vault takes no entry of a chain that is at an end.
  if (!isGuardedStore(repository.store)) await mustHaveCounted(repository, ledger, entry);
  // A vault has its own clock and policy; the later of the two promises holds.
  const receipt = isGuardedStore(repository.store)
    ? repository.store.receiptOf(entryName(asId('author', entry.author), entry.sequence))
    : undefined;
  const promised =
    receipt !== undefined && receipt.retainUntilSec > kept.retainUntilSec
      ? { retainUntilSec: receipt.retainUntilSec, slots: receipt.slots }
      : kept;
  return { id, ...promised, ...name, entry };
}
