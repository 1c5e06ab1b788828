/**
 * One listing of all that is in the store, sorted by kind of object; what has no business there is reported. Reads no object. Others may store and prune meanwhile, so
 * the ledger comes first: what its entries need was stored before them, and is listed after them unless it was pruned.
 */
import { toHex } from '../bytes.js';
import { GENESIS_NAME, isInitClaim, isSlotName, parseEntryName, parseIdName, parsePackName } from '../format/names.js';
import type { ObjectInfo, Store } from '../store/store.js';
import type { Findings } from './report.js';

/** A ledger entry as the store lists it. */
export type ListedEntry = Pick<ObjectInfo, 'sizeBytes' | 'storedMs'>;

/** Sizes in bytes by name; packs by hex id, because there are many. */
export interface Listing {
  readonly genesisBytes: number | undefined;
  readonly slots: ReadonlyMap<string, number>;
  readonly packs: ReadonlyMap<string, number>;
  readonly index: ReadonlyMap<string, number>;
  readonly manifests: ReadonlyMap<string, number>;
  readonly entries: ReadonlyMap<string, ListedEntry>;
  readonly packBytes: number;
}

/** How often the ledger is listed until it stands still. */
const LISTINGS = 20;

/**
 * Ledger entries, by name, as they were at one moment: entries are only ever added, so of two listings that are equal each names all that was there between
 * them. One alone could name the entry that ends a chain without the last one of that chain.
 *
 * @throws StoreError
 */
export async function listEntries(store: Store, findings: Findings): Promise<ReadonlyMap<string, ListedEntry>> {
  for (let attempt = 1, before = -1; ; attempt++) {
    const entries = new Map<string, ListedEntry>();
    const strange: string[] = [];
    for await (const info of store.list('ledger/'))
      if (parseEntryName(info.name) === undefined) strange.push(info.name);
      else entries.set(info.name, info);
    if (entries.size === before || attempt === LISTINGS) {
      for (const name of strange) findings.error(name, 'CORRUPT', 'is not the name of a ledger entry');
      return entries;
    }
    before = entries.size;
  }
}

/** Lists `store`. @throws StoreError */
export async function listStore(store: Store, findings: Findings): Promise<Listing> {
  let genesisBytes: number | undefined;
  let packBytes = 0;
  const entries = await listEntries(store, findings);
  const [slots, packs, index, manifests] = [1, 2, 3, 4].map(() => new Map<string, number>()) as [
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
    else if (name.startsWith('ledger/')) continue;
    else if (isInitClaim(name)) findings.warning(name, 'is left of an init that was interrupted; it may be removed');
    else findings.error(name, 'CORRUPT', 'does not belong into a repository');
  }
  return { genesisBytes, slots, packs, index, manifests, entries, packBytes };
}
