/** Collects the keys for reading packs, so that blocking readers need no asynchronous cryptography. */
import { toHex } from '../bytes.js';
import type { ChunkIndex } from '../chunk-index/chunk-index.js';
import { CorruptError } from '../errors.js';
import { packName } from '../format/names.js';
import { decodePackHeader } from '../format/pack.js';
import type { ReadKeys } from './chunk-reader.js';
import type { Repository } from './repository.js';

/**
 * Opens the session keys of all packs in `index` for which `isWanted` holds.
 *
 * @returns the keys, and for every session that does not open an error naming a pack of it
 */
export async function collectReadKeys(
  repository: Repository,
  index: ChunkIndex,
  isWanted: (packId: Uint8Array) => boolean,
): Promise<{ keys: ReadKeys; failed: CorruptError[] }> {
  const sessions = new Map<string, Uint8Array>();
  const chunkIds = new Map<string, Uint8Array>();
  const failed: CorruptError[] = [];
  const tried = new Set<string>();
  const errors = new Map<string, CorruptError>();
  for (const { packIndex, packId } of index.packs()) {
    if (!isWanted(packId)) continue;
    try {
      const header = decodePackHeader(index.header(packIndex), packName(packId));
      const hex = toHex(header.session);
      chunkIds.set(toHex(header.domain), repository.domainKeys(header.domain).chunkId);
      // An index object may say another header than the pack has: each one is tried until one opens.
      const attempt = `${hex} ${toHex(header.commitment)} ${toHex(header.enc)} ${toHex(header.ct)} ${toHex(header.writer)} ${toHex(header.domain)}`;
      if (sessions.has(hex) || tried.has(attempt)) continue;
      tried.add(attempt);
      try {
        sessions.set(hex, repository.sessionKey(header, header));
        errors.delete(hex);
      } catch (error) {
        if (!(error instanceof CorruptError)) throw error;
        errors.set(hex, error);
      }
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error;
      failed.push(error);
    }
  }
  failed.push(...errors.values());
  return { keys: { sessions, chunkIds }, failed };
}
