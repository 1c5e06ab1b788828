/** One listing of all that is in the store, sorted by kind of object; what has no business there is reported. Reads no object. */
import { toHex } from '../bytes.js';
import { GENESIS_NAME, isInitClaim, isSlotName, parseEntryName, parseIdName, parsePackName } from '../format/names.js';
import type { Store } from '../store/store.js';
import type { Findings } from './report.js';

/** Sizes in bytes by name; packs by hex id, because there are many. */
export interface Listing {
  readonly genesisBytes: number | undefined;
  readonly slots: ReadonlyMap<string, number>;
  readonly packs: ReadonlyMap<string, number>;
  readonly index: ReadonlyMap<string, number>;
  readonly manifests: ReadonlyMap<string, number>;
  readonly entries: ReadonlyMap<string, number>;
  readonly packBytes: number;
}

/** Lists `store`. @throws StoreError */
export async function listStore(store: Store, findings: Findings): Promise<Listing> {
  let genesisBytes: number | undefined;
  let packBytes = 0;
  const [slots, packs, index, manifests, entries] = [1, 2, 3, 4, 5].map(() => new Map<string, number>()) as [
    Map<string, number>,
    Map<string, number>,
    Map<string, number>,
    Map<string, number>,
    Map<string, number>,
  ];
  for await (const { name, sizeBytes } of store.list('')) {
    const pack = parsePackName(name);
    if (pack !== undefined) {
      packs.set(toHex(pack), sizeBytes);
      packBytes += sizeBytes;
    } else if (name === GENESIS_NAME) genesisBytes = sizeBytes;
    else if (isSlotName(name)) slots.set(name, sizeBytes);
    else if (parseIdName('index', name) !== undefined) index.set(name, sizeBytes);
    else if (parseIdName('snapshots', name) !== undefined) manifests.set(name, sizeBytes);
    else if (parseEntryName(name) !== undefined) entries.set(name, sizeBytes);
    else if (isInitClaim(name)) findings.warning(name, 'is left of an init that was interrupted; it may be removed');
    else findings.error(name, 'CORRUPT', 'does not belong into a repository');
  }
  return { genesisBytes, slots, packs, index, manifests, entries, packBytes };
}
