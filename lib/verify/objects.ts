/** The small objects that stand for themselves: genesis and key slots. What only a passphrase could tell about a slot is not checked. */
import { equalBytes, toHex } from '../bytes.js';
import { SEAL_OVERHEAD_BYTES } from '../crypto/envelope.js';
import { sha256 } from '../crypto/kdf.js';
import { verifySignature } from '../crypto/sign.js';
import { BadSignatureError, CorruptError, NotFoundError } from '../errors.js';
import { decodeGenesis, GENESIS_LABEL, MAX_GENESIS_BYTES } from '../format/genesis.js';
import { decodeSlot, MAX_SLOT_BYTES } from '../format/key-slot.js';
import { GENESIS_NAME } from '../format/names.js';
import { Kind } from '../format/preamble.js';
import type { Repository } from '../repository/repository.js';
import type { Listing } from './listing.js';
import type { Findings } from './report.js';

/** Checks that the genesis object is still the one that the repository was opened with. */
export async function checkGenesis(repository: Repository, listing: Listing, findings: Findings): Promise<void> {
  try {
    if ((listing.genesisBytes ?? 0) > MAX_GENESIS_BYTES)
      throw new CorruptError(GENESIS_NAME, 'larger than a genesis object may be');
    const bytes = await repository.store.get(GENESIS_NAME);
    const { genesis, signed, signature } = decodeGenesis(bytes);
    if (!equalBytes(sha256(bytes), repository.id)) throw new CorruptError(GENESIS_NAME, 'is not the one that the keys belong to');
    if (!verifySignature(genesis.admins[0]!, GENESIS_LABEL, signed, signature))
      throw new BadSignatureError(GENESIS_NAME, 'not signed by its admin key');
  } catch (error) {
    findings.thrown(error, GENESIS_NAME);
  }
}

/** Lengths that a keyring can have without the keys of later readers: an array head, the repository's id, and each of the three roles or a null. */
const PLAIN_KEYRINGS = [1, 34].flatMap((root) =>
  [1, 34].flatMap((admin) => [1, 86].map((writer) => ({ bytes: 35 + root + admin + writer, root: root > 1 }))),
);

/** Whether a keyring can be `length` bytes long. With the root secret there may be keys of later readers: one item of 32 bytes each. */
function isKeyringLength(length: number): boolean {
  return PLAIN_KEYRINGS.some(({ bytes, root }) => {
    const more = length - bytes;
    if (more === 0) return true;
    const isReaders = (rest: number): boolean => {
      const head = rest < 2 + 256 ? 2 : 3;
      return rest > head && (rest - head) % 32 === 0;
    };
    // An auditor's seed stands behind the readers' keys, of which there may be none.
    return root && (isReaders(more) || more === 1 + 34 || isReaders(more - 34));
  });
}

/** Checks form and name of every key slot. One that is gone since it was listed: slot-check.ts knows whether the ledger says so. */
export async function checkSlots(repository: Repository, listing: Listing, findings: Findings): Promise<void> {
  for (const [name, sizeBytes] of listing.slots) {
    try {
      if (sizeBytes > MAX_SLOT_BYTES) throw new CorruptError(name, 'larger than a key slot may be');
      const { header, content } = decodeSlot(await repository.store.get(name), Kind.keySlot, name);
      if (name !== `keys/${toHex(header.id)}`) throw new CorruptError(name, 'is not the slot its name says');
      if (!isKeyringLength(content.byteLength - SEAL_OVERHEAD_BYTES))
        throw new CorruptError(name, 'holds no keyring: its length is impossible');
    } catch (error) {
      if (!(error instanceof NotFoundError)) findings.thrown(error, name);
    }
  }
}
