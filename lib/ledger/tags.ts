/**
 * Changing tags: an entry in the ledger that says which tags snapshots gained and lost (docs/format.md §11, type 18). The snapshots themselves
 * never change, and the history of their tags stays in the ledger.
 */
import { equalBytes, toHex } from '../bytes.js';
import { open, seal } from '../crypto/envelope.js';
import { authorOf, publicKeyOf } from '../crypto/sign.js';
import { CorruptError, RoleError } from '../errors.js';
import { encodeTagChange, type TagChange, tagsAad } from '../format/entry.js';
import { checkTags, sortedTags } from '../format/manifest.js';
import { EntryType } from '../format/payload.js';
import { timeOfMs } from '../format/time.js';
import type { Repository } from '../repository/repository.js';
import { appendEntry } from './append.js';
import type { Snapshot } from './snapshots.js';

/** Keeps an entry well below what a vault takes of a writer (64 KiB): 1,024 ids are 34 KiB. */
const SNAPSHOTS_PER_ENTRY = 1024;

export interface TagOptions {
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
  /** Replaces all tags; excludes the other two. */
  readonly set?: readonly string[];
  readonly nowMs?: number;
}

/** The key in hand whose tags count in `domain`: its writer's, or an admin's, which may write to any. @throws RoleError */
function signerIn({ keyring: { writer, adminSeed } }: Repository, domain: Uint8Array): Uint8Array {
  if (writer !== null && equalBytes(writer.domain, domain)) return writer.seed;
  if (adminSeed !== null) return adminSeed;
  throw new RoleError(
    'writer',
    'changing tags',
    writer === null ? undefined : 'changing tags of another domain takes an admin’s key',
  );
}

/** What `change` makes of `tags`. Removing comes before adding. */
function changed(tags: readonly string[], change: Pick<TagChange, 'added' | 'removed'>): string[] {
  return sortedTags([...tags.filter((tag) => !change.removed.includes(tag)), ...change.added]);
}

/**
 * Adds, removes or sets tags of `snapshots`, writing only for those that change.
 *
 * @returns the snapshots that changed, with their new tags
 * @throws RoleError without a writer's or admin's key
 * @throws RangeError for an empty tag, or `set` together with another
 */
export async function tagSnapshots(
  repository: Repository,
  snapshots: readonly Snapshot[],
  options: TagOptions,
): Promise<{ id: Uint8Array; tags: string[] }[]> {
  const { add = [], remove = [], set } = options;
  if (set !== undefined && (add.length > 0 || remove.length > 0))
    throw new RangeError('set replaces all tags; it does not go with add or remove');
  if ([...add, ...remove, ...(set ?? [])].some((tag) => tag === '')) throw new RangeError('a tag must not be empty');
  for (const list of [add, remove, set ?? []]) checkTags(list);
  const time = timeOfMs(options.nowMs ?? Date.now());
  const result: { id: Uint8Array; tags: string[] }[] = [];
  const batches = new Map<string, { domain: Uint8Array; snapshots: Snapshot[] }>();
  for (const snapshot of snapshots) {
    const removed = set === undefined ? remove : snapshot.tags;
    const tags = changed(snapshot.tags, { added: set ?? add, removed });
    if (tags.length === snapshot.tags.length && tags.every((tag, i) => tag === snapshot.tags[i])) continue;
    result.push({ id: snapshot.id, tags });
    const hex = toHex(snapshot.envelope.domain);
    const batch = batches.get(hex) ?? { domain: snapshot.envelope.domain, snapshots: [] };
    batch.snapshots.push(snapshot);
    batches.set(hex, batch);
  }
  // Nothing is written unless all can be.
  const signed = [...batches.values()].map((batch) => ({ ...batch, seed: signerIn(repository, batch.domain) }));
  for (const { domain, snapshots: all, seed } of signed) {
    const author = authorOf(publicKeyOf(seed));
    for (let at = 0; at < all.length; at += SNAPSHOTS_PER_ENTRY) {
      const some = all.slice(at, at + SNAPSHOTS_PER_ENTRY);
      const removed =
        set === undefined ? remove : [...new Set(some.flatMap(({ tags }) => tags))].filter((tag) => !set.includes(tag));
      const plaintext = encodeTagChange({ snapshots: some.map(({ id }) => id), added: set ?? add, removed });
      const key = repository.domainKeys(domain).tags;
      await appendEntry(repository, seed, time, (sequence) => {
        const aad = tagsAad(repository.id, author, sequence);
        const sealed = seal(key, aad, plaintext);
        if (open(key, aad, sealed) === undefined) throw new CorruptError('tag entry', 'does not open again; nothing was written');
        return { type: EntryType.tags, domain, sealed };
      });
    }
  }
  return result;
}
