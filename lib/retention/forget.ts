/** The verb `forget`: announces the pruning of snapshots that have expired, now and by name. It cannot touch one that is still to be kept. */
import { toHex } from '../bytes.js';
import { NotFoundError, RefusedError } from '../errors.js';
import { loadLedger } from '../ledger/ledger.js';
import { standings } from '../ledger/standing.js';
import { type AnnounceReport, announcePrune, type PruneOptions } from './prune.js';
import { nowOf, type RetentionPlace, signerOf } from './signer.js';
import { adviceToForget, whyKept } from './why-kept.js';

/**
 * Announces snapshots and what they alone need; a sweep deletes them after the wait.
 *
 * @throws RefusedError if one of them is still to be kept: until when, why, and what can be done; nothing is then written
 * @throws RoleError without an admin's key, NotFoundError
 */
export async function forgetSnapshots(
  place: RetentionPlace,
  snapshots: readonly Uint8Array[],
  options: PruneOptions = {},
): Promise<AnnounceReport> {
  const nowSec = nowOf(options) / 1000;
  const ledger = await loadLedger(place);
  signerOf(place, ledger, options, 'forgetting a snapshot', ['admin', 'vault']);
  const known = new Map(standings(ledger, nowSec).map((standing) => [toHex(standing.id), standing]));
  const refused: string[] = [];
  const kept: string[] = [];
  let latest = 0;
  for (const hex of new Set(snapshots.map(toHex))) {
    const standing = known.get(hex);
    if (standing === undefined || standing.pruned) throw new NotFoundError('snapshot', hex);
    const reasons = whyKept(standing, nowSec);
    if (reasons.length === 0) continue;
    kept.push(hex);
    latest = Math.max(latest, standing.freeSec);
    refused.push(
      `snapshot ${hex.slice(0, 8)} stays: ${reasons.join(', and ')}. To be rid of it, ${adviceToForget(standing, nowSec)}`,
    );
  }
  if (refused.length > 0)
    throw new RefusedError(`${refused.slice(0, 5).join('; ')}${refused.length > 5 ? `; and ${refused.length - 5} more` : ''}`, {
      snapshots: kept,
      ...(Number.isFinite(latest) ? { until_sec: latest } : {}),
    });
  return await announcePrune(place, { ...options, only: new Set(snapshots.map(toHex)) });
}
