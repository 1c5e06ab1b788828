/**
 * Entries that name a manifest which is another's (docs/format.md §11): by another author, of another stream or state than the manifest says. Nobody hides or renames
 * a snapshot by naming its manifest again, perhaps with an earlier time: such an entry lists nothing. Manifests are looked at only where entries contradict each other.
 */
import { toHex } from '../bytes.js';
import { VarveError } from '../errors.js';
import type { LedgerEntry } from '../format/entry.js';
import type { Envelope } from '../format/manifest.js';
import { payloadOf, type SnapshotPayload } from '../format/payload.js';
import type { RepositoryPlace } from '../repository/repository.js';
import { fitsManifest, readEnvelope } from './snapshots.js';
import { entryKey } from './state.js';

interface Claim {
  readonly entry: LedgerEntry;
  readonly payload: SnapshotPayload;
}

/** What a manifest says of itself in clear. */
type Said = Pick<Envelope, 'writer' | 'stream' | 'state'>;

/** By manifest, hex: all that name it, where they contradict each other. */
export function rivalClaims(entries: readonly LedgerEntry[]): Map<string, Claim[]> {
  const found = new Map<string, Claim[]>();
  for (const entry of entries) {
    const payload = payloadOf(entry.payload, 'snapshot');
    if (payload === undefined) continue;
    const hex = toHex(payload.manifest);
    const claims = found.get(hex);
    if (claims === undefined) found.set(hex, [{ entry, payload }]);
    else claims.push({ entry, payload });
  }
  for (const [hex, claims] of found) {
    const { entry, payload } = claims[0]!;
    if (claims.every((one) => fitsManifest(one, { ...payload, writer: entry.author }))) found.delete(hex);
  }
  return found;
}

/** Of rivals, those that the manifest belies; none when all of them do: then the snapshot is damaged. */
export function belied(claims: readonly Claim[], said: Said): Claim[] {
  const wrong = claims.filter((claim) => !fitsManifest(claim, said));
  return wrong.length === claims.length ? [] : wrong;
}

/** Places of the entries among `entries` that name another's manifest. A manifest that cannot be read belies nobody. */
export async function falseClaims(place: RepositoryPlace, entries: readonly LedgerEntry[]): Promise<ReadonlySet<string>> {
  const wrong = new Set<string>();
  for (const claims of rivalClaims(entries).values()) {
    try {
      const { envelope } = await readEnvelope(place, claims[0]!.payload.manifest);
      for (const { entry } of belied(claims, envelope)) wrong.add(entryKey(entry));
    } catch (error) {
      if (!(error instanceof VarveError)) throw error;
    }
  }
  return wrong;
}
