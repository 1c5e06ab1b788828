/**
 * Key slots against what the ledger says of them (docs/format.md §11, type 21): a slot that is damaged, missing or exchanged is an error, one of which nothing is said is
 * worth a warning. Takes no passphrase.
 */
import { toHex } from '../bytes.js';
import { sha256 } from '../crypto/kdf.js';
import { NotFoundError, VarveError } from '../errors.js';
import { MAX_SLOT_BYTES } from '../format/key-slot.js';
import { slotWords } from '../ledger/slots.js';
import type { Repository } from '../repository/repository.js';
import type { ReadableLedger } from './ledger-walk.js';
import type { Listing } from './listing.js';
import type { Findings } from './report.js';

/** SHA-256 of a slot's object, hex; undefined when it is not there. */
async function digestOf({ store }: Pick<Repository, 'store'>, name: string, sizeBytes: number): Promise<string | undefined> {
  if (sizeBytes > MAX_SLOT_BYTES) return '';
  try {
    return toHex(sha256(await store.get(name)));
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}

/** Compares the slots that were listed with the ledger as it was read after them. */
export async function checkListedSlots(
  repository: Pick<Repository, 'store'>,
  listing: Pick<Listing, 'slots'>,
  ledger: ReadableLedger,
  findings: Findings,
): Promise<void> {
  const words = slotWords(ledger);
  if (words === undefined) {
    if (listing.slots.size > 0)
      findings.warning(
        'keys',
        'the ledger says nothing of key slots, so a damaged or exchanged one goes unnoticed; the next varve key add, passwd or remove lists them all',
      );
    return;
  }
  const owners = new Map([...words].flatMap(([id, { digest }]) => (digest === undefined ? [] : [[toHex(digest), id] as const])));
  for (const [id, { listed, digest }] of words) {
    if (!listed) continue;
    const name = `keys/${id}`;
    try {
      const found = await digestOf(repository, name, listing.slots.get(name) ?? 0);
      if (found === undefined) findings.error(name, 'NOT_FOUND', 'is missing: the ledger lists this key slot');
      else if (found !== toHex(digest!)) {
        const owner = owners.get(found);
        const what =
          owner === undefined ? 'its bytes are not those that the ledger lists' : `holds the bytes of key slot ${owner}`;
        findings.error(name, 'CORRUPT', what);
      }
    } catch (error) {
      if (!(error instanceof VarveError)) throw error;
      findings.thrown(error, name);
    }
  }
  for (const name of listing.slots.keys())
    if (!words.has(name.slice('keys/'.length)) && (await digestOf(repository, name, 0)) !== undefined)
      findings.warning(
        name,
        'is not in the ledger: an interrupted varve key add left it, or somebody else put it there. An admin lists it with varve key restore, or removes it with varve key remove',
      );
}
