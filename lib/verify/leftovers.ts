/** What no snapshot needs: manifests without a ledger entry, packs that none pins, index objects of packs that are gone. It costs no data. */
import { toHex } from '../bytes.js';
import { manifestName, packName, parseIdName } from '../format/names.js';
import { hexesOf } from '../id.js';
import { snapshotRecords } from '../ledger/snapshots.js';
import type { Repository } from '../repository/repository.js';
import type { IndexedPack } from './index-check.js';
import type { ReadableLedger } from './ledger-walk.js';
import type { Listing } from './listing.js';
import { ManifestReader } from './manifests.js';
import type { Later } from './meanwhile.js';
import type { Pruned } from './prune-check.js';
import type { Findings } from './report.js';

/**
 * Reports manifests that no ledger entry names; sound ones are worth a warning only, and those that were pruned and stay as bases, or are to be, or were committed
 * meanwhile, none. Adds the packs that all of them pin to `pinned`, hex.
 */
export async function reportOrphans(
  repository: Repository,
  listing: Listing,
  ledger: ReadableLedger,
  { now, pruned: { snapshots, announcedManifests } }: Later,
  pinned: Set<string>,
  findings: Findings,
): Promise<void> {
  const committed = new Set(snapshotRecords(ledger).map(({ id }) => manifestName(id)));
  const records = snapshotRecords(now);
  const listed = new Set(records.map(({ id }) => manifestName(id)));
  // Of those that were overtaken by a prune the manifest may be gone.
  const since = records.filter(({ overtaken }) => !overtaken).map(({ id }) => manifestName(id));
  const reader = new ManifestReader(repository, listing);
  for (const name of new Set([...listing.manifests.keys(), ...since])) {
    if (committed.has(name)) continue;
    const id = parseIdName('snapshots', name)!;
    if (snapshots.has(toHex(id)) || announcedManifests.has(toHex(id))) continue;
    try {
      const envelope = await reader.envelope(id);
      const pins = await reader.pins(id, envelope);
      for (const hex of hexesOf(pins)) pinned.add(hex);
      if (!listed.has(name))
        findings.warning(name, 'no ledger entry names it: its run was interrupted before the commit, or the entry is lost');
    } catch (error) {
      findings.thrown(error, name);
    }
  }
}

/** Reports packs that nothing in `pinned` names, and index objects of packs that are gone. */
export function reportUnreferenced(
  listing: Listing,
  indexed: ReadonlyMap<string, IndexedPack>,
  pinned: ReadonlySet<string>,
  pruned: Pruned,
  findings: Findings,
): void {
  let bytes = 0;
  const names: string[] = [];
  for (const [hex, size] of listing.packs) {
    if (pinned.has(hex) || pruned.announced.has(hex)) continue;
    names.push(packName(Buffer.from(hex, 'hex')));
    bytes += size;
  }
  if (names.length > 0) {
    const some = names.slice(0, 10).join(', ') + (names.length > 10 ? ', …' : '');
    findings.warning(
      'packs',
      `${names.length} packs (${bytes} bytes) are needed by no snapshot; the next backup reuses what they hold: ${some}`,
    );
  }
  const stale = new Set<string>();
  for (const [hex, { index }] of indexed)
    if (!listing.packs.has(hex) && !pinned.has(hex) && !pruned.packs.has(hex)) stale.add(index);
  for (const name of stale) findings.warning(name, 'describes packs that are gone and that no snapshot needs');
}
