/** Makes a finished run visible: manifest, retention, ledger entry, in this order, each durable before the next (docs/format.md §13). */
import { concat, equalBytes } from '../bytes.js';
import { seal } from '../crypto/envelope.js';
import { sha256 } from '../crypto/kdf.js';
import { manifestKey } from '../crypto/session.js';
import { EntryType, type PolicyPayload } from '../format/entry.js';
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
import { manifestName } from '../format/names.js';
import { timeOfMs } from '../format/time.js';
import { asId, type SnapshotId, type StreamId } from '../id.js';
import { appendEntry, type Ledger } from '../ledger/ledger.js';
import { encodePins, joinSorted, resolvePins } from '../ledger/pins.js';
import { readEnvelope, snapshotRecords } from '../ledger/snapshots.js';
import type { Repository } from '../repository/repository.js';
import { DEFAULT_POLICY, retain } from '../retention/slots.js';
import type { Run } from './run.js';

/** The policy in force: the ledger's last. */
export function currentPolicy(ledger: Ledger): PolicyPayload {
  for (let i = ledger.entries.length - 1; i >= 0; i--) {
    const { payload } = ledger.entries[i]!;
    if (payload.type === EntryType.policy && 'minimumSec' in payload) return payload;
  }
  return DEFAULT_POLICY;
}

export interface Committed {
  readonly id: SnapshotId;
  readonly retainUntilSec: number;
  readonly slots: number;
}

export interface CommitInput {
  readonly stream: StreamId;
  readonly body: ManifestBody;
  readonly startedMs: number;
  readonly claimedMs: number;
  readonly complete: boolean;
}

/** The last manifest of this writer and stream, to write pins as a difference to it; undefined if there is none that can be read. */
async function previousPins(
  repository: Repository,
  run: Run,
  ledger: Ledger,
  stream: StreamId,
): Promise<{ id: Uint8Array; envelope: Envelope; ids: Uint8Array } | undefined> {
  const previous = snapshotRecords(ledger)
    .filter(({ entry, payload }) => equalBytes(entry.author, run.keys.writer) && equalBytes(payload.stream, stream))
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

/** Commits the snapshot of a run whose packs and index objects are durable. @throws StoreError; nothing is then visible */
export async function commit(
  repository: Repository,
  run: Run,
  ledger: Ledger,
  input: CommitInput,
  nowMs: () => number,
): Promise<Committed> {
  const { ids, bytes: pinBytes } = run.pins();
  const joined = joinSorted(ids);
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

  const policy = currentPolicy(ledger);
  const receivedMs = nowMs();
  const earlierSec = snapshotRecords(ledger)
    .filter(
      ({ entry, payload }) =>
        equalBytes(entry.author, writer) && equalBytes(payload.stream, input.stream) && payload.state === State.complete,
    )
    .map(({ entry }) => entry.time.sec);
  const kept = retain(policy, Math.floor(receivedMs / 1000), input.complete, earlierSec);
  const payload = { type: EntryType.snapshot, manifest: id, stream: input.stream, state: envelope.state, ...kept };
  await appendEntry(repository, repository.keyring.writer?.seed, timeOfMs(receivedMs), () => payload);
  return { id, ...kept };
}
