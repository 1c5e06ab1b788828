/**
 * A pack's own directory, read from its end, and index objects: the two ways to learn what is in a pack (docs/format.md §7, §8).
 */
import { equalBytes, toHex } from '../bytes.js';
import { open, sealParts } from '../crypto/envelope.js';
import { sha256 } from '../crypto/kdf.js';
import { CorruptError } from '../errors.js';
import {
  decodeIndexBody,
  decodeIndexHeader,
  encodeIndexBody,
  encodeIndexHeader,
  INDEX_HEADER_BYTES,
  indexAad,
  type PackDirectory,
} from '../format/index-object.js';
import { packName } from '../format/names.js';
import {
  CHUNK_ROW_BYTES,
  decodeDirectory,
  decodePackFooter,
  decodePackHeader,
  directoryAad,
  FRAME_ROW_BYTES,
  PACK_FOOTER_BYTES,
  PACK_HEADER_BYTES,
} from '../format/pack.js';
import { native } from '../native.js';
import type { Ranges } from './ranges.js';
import type { Repository } from './repository.js';

type Keys = Pick<Repository, 'id' | 'domainKeys'>;

/** Reads header, footer and directory of a pack that no index object covers. @throws CorruptError, NotFoundError, RoleError */
export function readPackDirectory(repository: Keys, ranges: Ranges, packId: Uint8Array): PackDirectory {
  const name = packName(packId);
  const packBytes = ranges.sizeBytes(name);
  if (packBytes < PACK_HEADER_BYTES + PACK_FOOTER_BYTES) throw new CorruptError(name, `only ${packBytes} bytes long`);
  const header = ranges.read(name, 0, PACK_HEADER_BYTES);
  const { enc, ct } = decodePackHeader(header, name);
  const footer = decodePackFooter(ranges.read(name, packBytes - PACK_FOOTER_BYTES, PACK_FOOTER_BYTES), packBytes, name);
  if (!equalBytes(footer.enc, enc) || !equalBytes(footer.ct, ct))
    throw new CorruptError(name, 'its footer is not that of its header');
  return {
    packId,
    packBytes,
    header,
    directory: openDirectory(repository, header, ranges.read(name, footer.offset, footer.length), footer.offset, name),
  };
}

/** The directory's plaintext without its padding, checked. @throws CorruptError, RoleError */
export function openDirectory(
  repository: Keys,
  header: Uint8Array,
  sealed: Uint8Array,
  endBytes: number,
  name: string,
): Uint8Array {
  const { repository: owner, domain, packClass } = decodePackHeader(header, name);
  if (!equalBytes(owner, repository.id)) throw new CorruptError(name, 'belongs to another repository');
  const plaintext = open(repository.domainKeys(domain).index, directoryAad(header), sealed);
  if (plaintext === undefined) throw new CorruptError(name, 'its directory does not verify');
  const { frames, chunkCount } = decodeDirectory(plaintext, endBytes, name, packClass);
  return plaintext.subarray(0, 8 + frames.length * FRAME_ROW_BYTES + chunkCount * CHUNK_ROW_BYTES);
}

/** An index object's id, and its bytes in parts. */
export function sealIndexObject(
  repository: Keys,
  ids: { writer: Uint8Array; domain: Uint8Array; session: Uint8Array },
  packs: readonly PackDirectory[],
): { id: Uint8Array; parts: Uint8Array[] } {
  const header = encodeIndexHeader({ repository: repository.id, ...ids });
  const parts = [header, ...sealParts(repository.domainKeys(ids.domain).index, indexAad(header), encodeIndexBody(packs))];
  return { id: sha256(...parts), parts };
}

/**
 * Opens an index object, and checks the directories inside.
 *
 * @throws CorruptError if its name, seal or lengths do not fit, or a directory breaks a rule
 * @throws RoleError if its domain is not ours to read
 */
export function openIndexObject(repository: Keys, name: string, bytes: Uint8Array): PackDirectory[] {
  if (name !== `index/${toHex(sha256(bytes))}`) throw new CorruptError(name, 'its bytes do not fit its name');
  const header = decodeIndexHeader(bytes, name);
  if (!equalBytes(header.repository, repository.id)) throw new CorruptError(name, 'belongs to another repository');
  const head = bytes.subarray(0, INDEX_HEADER_BYTES);
  const body = open(repository.domainKeys(header.domain).index, indexAad(head), bytes.subarray(INDEX_HEADER_BYTES));
  if (body === undefined) throw new CorruptError(name, 'does not verify');
  const packs = decodeIndexBody(body, name);
  for (const pack of packs) {
    const { repository: owner, domain, packClass } = decodePackHeader(pack.header, name);
    if (!equalBytes(owner, repository.id) || !equalBytes(domain, header.domain))
      throw new CorruptError(name, 'lists a pack of another domain');
    try {
      native().checkDirectory(pack.directory, pack.packBytes, packClass);
    } catch (error) {
      throw new CorruptError(name, `${(error as Error).message}, of ${packName(pack.packId)}`, {}, error);
    }
  }
  return packs;
}
