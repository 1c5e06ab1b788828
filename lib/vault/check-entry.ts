/**
 * Whether an entry may be stored now: beside what accept.ts finds in its bytes, what stands in its author's chain, its manifest, and what the policy allows. Stores and
 * counts nothing.
 */
import { toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { ObjectExistsError, RefusedError } from '../errors.js';
import type { Envelope } from '../format/manifest.js';
import { entryName } from '../format/names.js';
import { EntryType, payloadOf, RotatedRole } from '../format/payload.js';
import { asId } from '../id.js';
import { isReaderRotation } from '../ledger/authority.js';
import { leavesSlot } from '../ledger/slots.js';
import { termsOf } from '../retention/policy.js';
import { type Acceptable, acceptEntry, type Caller, checkSnapshot, refuse } from './accept.js';
import type { AlertCode } from './alerts.js';
import { type Chains, knownOf } from './chains.js';
import { checkIntent, type PlanAt } from './check-intent.js';
import type { Quotas } from './quota.js';

const DAY_SEC = 86_400;
/** Of such entries the effect is tried on a copy of the ledger. */
const T = EntryType;
const CHANGES_AUTHORS: readonly number[] = [T.genesis, T.writerCert, T.retire, T.keyRotate, T.cert];
/** So far behind its chain's end, another entry of the same number is no race of two runs. */
const RACE_ENTRIES = 64;

/** An entry as a connection brings it. */
export interface SentEntry {
  readonly caller: Caller;
  readonly author: string;
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

/** What an entry is held against. */
export interface EntryContext {
  readonly chains: Chains;
  readonly quotas: Quotas;
  lateMs(): number;
  readonly planAt: PlanAt;
  /** Reads a manifest's envelope, and checks its pins again. @throws RefusedError */
  envelope(object: string, id: Uint8Array, judge: (envelope: Envelope) => void): Promise<Envelope>;
  /** @param author - who caused it, hex, as far as that is known for sure */
  tell(code: AlertCode, detail: string, author?: string): void;
}

/**
 * Checks an entry. Call it when nothing else changes the ledger.
 *
 * @returns undefined if this very entry is there already
 * @throws RefusedError; ObjectExistsError if another entry has its number
 */
export async function checkEntry(
  { caller, author, sequence, bytes }: SentEntry,
  context: EntryContext,
): Promise<Acceptable | undefined> {
  const { chains, quotas } = context;
  const known = knownOf(chains);
  const name = entryName(asId('author', Buffer.from(author, 'hex')), sequence);
  const { hashes } = chains.chain(author);
  const count = hashes.length;
  if (sequence < count) {
    if (toHex(sha256(bytes)) === toHex(hashes[sequence]!)) return undefined;
    if (sequence < count - RACE_ENTRIES)
      context.tell('refused-overwrite', `another entry was sent for ${name}`, caller.writer ?? caller.role);
    throw new ObjectExistsError(name);
  }
  const head = hashes.at(-1) ?? new Uint8Array(32);
  const accepted = acceptEntry(name, bytes, { author, sequence }, { count, head }, caller, known);
  const { entry } = accepted;
  // What readers would refuse, or pass over, is not kept: the next start of this vault reads it too.
  if (CHANGES_AUTHORS.includes(entry.payload.type)) {
    const objection = chains.objection(entry, accepted.hash);
    if (objection !== undefined) refuse(name, `would not be read: it ${objection}`);
  }
  const rotation = payloadOf(entry.payload, 'keyRotate');
  if (rotation?.role === RotatedRole.reader && !isReaderRotation(chains.place, rotation))
    refuse(name, 'rotates the reader key without the signature of a holder of the root secret, so no reader would follow it');
  const slots = payloadOf(entry.payload, 'slots');
  if (slots !== undefined && !leavesSlot(chains.ledger(), slots))
    refuse(name, 'removes the last key slot that is listed: without it nobody could open the repository by passphrase');
  const intent = payloadOf(entry.payload, 'pruneIntent');
  if (intent !== undefined) await checkIntent(name, intent, context);
  const snapshot = payloadOf(entry.payload, 'snapshot');
  if (snapshot !== undefined) {
    if (chains.hasSnapshot(snapshot.manifest)) refuse(name, 'names a manifest that is a snapshot already');
    const terms = termsOf(chains.policy());
    quotas.checkSnapshots(entry.author, terms, context.lateMs());
    await context.envelope(name, snapshot.manifest, (envelope) => checkSnapshot(name, entry, envelope, known));
    const latest = Math.ceil(context.lateMs() / 1000) + terms.longestSec + DAY_SEC;
    if (terms.longestSec > 0 && snapshot.retainUntilSec > latest)
      throw new RefusedError(
        `${name} promises to keep its snapshot until ${new Date(snapshot.retainUntilSec * 1000).toISOString()}, longer than the ${Math.floor(terms.longestSec / DAY_SEC)} days that the policy allows; is the writer's clock right?`,
        { object: name },
      );
  }
  return accepted;
}
