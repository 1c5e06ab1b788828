/** What a store lists. */
import type { Store } from '../../lib/store/store.js';

/** The names below `prefix`, sorted. */
export async function storedNames(store: Store, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of store.list(prefix)) found.push(name);
  return found.sort();
}
