/**
 * What the ledger says was pruned, held against what else it says (docs/security.md, Retention): nothing may have been deleted that was still to be kept. What was
 * pruned rightly is missing rightly.
 */
import { EMPTY, toHex } from '../bytes.js';
import { entryName } from '../format/names.js';
import { payloadOf } from '../format/payload.js';
import { asId, hexesOf } from '../id.js';
import { intended, standings, wrongPrunes } from '../ledger/standing.js';
import type { ReadableLedger } from './ledger-walk.js';
import type { Findings } from './report.js';

const DAY = 86_400;

/** What was announced or deleted, ids in hex. */
export interface Pruned {
  /** Named by an intent: no new run uses these packs. */
  readonly announced: ReadonlySet<string>;
  /** Of snapshots that were taken off the list rightly; their manifests may stay as bases of others. */
  readonly snapshots: ReadonlySet<string>;
  readonly announcedManifests: ReadonlySet<string>;
  readonly packs: ReadonlySet<string>;
  readonly indexes: ReadonlySet<string>;
}

/** Collects what was pruned, and reports prune-done entries that were not right. */
export function checkPruned(ledger: ReadableLedger, findings: Findings): Pruned {
  const all = standings(ledger);
  const intents = new Map<string, { sec: number; ids: Set<string> }>();
  const packs = new Set<string>();
  const indexes = new Set<string>();
  for (const { author, sequence, time, payload } of ledger.entries) {
    const intent = payloadOf(payload, 'pruneIntent');
    if (intent !== undefined) {
      const ids = new Set([intent.packs, intent.snapshots, intent.indexes].flatMap((joined) => [...hexesOf(joined)]));
      intents.set(`${toHex(author)}/${sequence}`, { sec: time.sec, ids });
    }
    const done = payloadOf(payload, 'pruneDone');
    if (done === undefined) continue;
    for (const hex of hexesOf(done.packs)) packs.add(hex);
    for (const hex of hexesOf(done.indexes)) indexes.add(hex);
    // Parts of the ledger are missing: what they said is not known.
    if (ledger.broken.size > 0) continue;
    const name = entryName(asId('author', author), sequence);
    const announced = intents.get(`${toHex(done.author)}/${done.sequence}`);
    if (announced === undefined || time.sec - announced.sec < DAY)
      findings.error(name, 'CORRUPT', 'says that something was pruned which had not been announced a day before');
    else if (
      [done.packs, done.snapshots, done.indexes].some((joined) => [...hexesOf(joined)].some((hex) => !announced.ids.has(hex)))
    )
      findings.error(name, 'CORRUPT', 'says that something was pruned which its announcement does not name');
  }
  if (ledger.broken.size === 0)
    for (const { entry, snapshot } of wrongPrunes(ledger))
      findings.error(
        entryName(asId('author', entry.author), entry.sequence),
        'CORRUPT',
        'says that a snapshot was pruned which was to be kept',
        { snapshot, path: '/' },
      );
  const going = intended(ledger.entries);
  return {
    announced: going.packs,
    announcedManifests: going.snapshots,
    snapshots: new Set(all.filter(({ pruned }) => pruned).map(({ id }) => toHex(id))),
    packs,
    indexes,
  };
}

/** Reports prune-done entries that name a pack which a listed snapshot needs. `pinned`: packs by hex id, without those that only overtaken snapshots need. */
export function checkPrunedPacks(ledger: ReadableLedger, pinned: ReadonlySet<string>, findings: Findings): void {
  for (const { author, sequence, payload } of ledger.entries) {
    const wrong = [...hexesOf(payloadOf(payload, 'pruneDone')?.packs ?? EMPTY)].some((hex) => pinned.has(hex));
    if (wrong)
      findings.error(
        entryName(asId('author', author), sequence),
        'CORRUPT',
        'says that a pack was pruned which a snapshot needs that is to be kept',
      );
  }
}
