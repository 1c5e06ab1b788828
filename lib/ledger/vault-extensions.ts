/**
 * Which extensions by a vault count (docs/format.md §11). A vault may keep the snapshots of one stream longer by itself, as long as a policy allows and no longer, so that
 * a stolen vault key cannot fill the disk for ever. What is added to a ledger later takes no extension away: not another policy, nor another entry about a snapshot. Pure.
 */
import { toHex } from '../bytes.js';
import type { LedgerEntry } from '../format/entry.js';
import { MAX_VAULT_EXTENSION_SEC, payloadOf } from '../format/payload.js';
import { hexesOf } from '../id.js';
import { entryKey, type Ledger } from './state.js';

export class VaultExtensions {
  /** The most that any policy ever allowed. */
  readonly #longestSec: number;
  readonly #chains: ReadonlyMap<string, { readonly role: string; readonly limit: number }>;
  /** By manifest, hex: of whom and of which streams it is, by entries that it does not belie. */
  readonly #series: ReadonlyMap<string, ReadonlySet<string>>;

  constructor({ chains, falseClaims }: Pick<Ledger, 'chains' | 'falseClaims'>) {
    let longest = 0;
    const series = new Map<string, Set<string>>();
    // Also behind the ends of chains: a retirement takes no promise away.
    for (const { role, entries, voids } of chains)
      for (const entry of entries) {
        if (voids.has(entry.sequence)) continue;
        if (role === 'admin') longest = Math.max(longest, payloadOf(entry.payload, 'policy')?.terms?.extensionSec ?? 0);
        const payload = payloadOf(entry.payload, 'snapshot');
        if (payload === undefined || falseClaims?.has(entryKey(entry)) === true) continue;
        const hex = toHex(payload.manifest);
        const own = `${toHex(entry.author)}/${toHex(payload.stream)}`;
        const all = series.get(hex);
        if (all === undefined) series.set(hex, new Set([own]));
        else all.add(own);
      }
    this.#longestSec = Math.min(longest, MAX_VAULT_EXTENSION_SEC);
    this.#series = series;
    this.#chains = new Map(chains.map((chain) => [toHex(chain.author), chain]));
  }

  /** Whether an extend entry counts; an admin's always does. */
  allow({ author, sequence, time, payload }: LedgerEntry): boolean {
    const extend = payloadOf(payload, 'extend')!;
    const chain = this.#chains.get(toHex(author));
    if (chain?.role !== 'vault' && sequence < (chain?.limit ?? 0)) return true;
    // By its own clock: a receipt of another vault moves nothing.
    return extend.untilSec <= time.sec + this.#longestSec && this.#areOfOneStream(extend.snapshots);
  }

  #areOfOneStream(snapshots: Uint8Array): boolean {
    let common: ReadonlySet<string> | undefined;
    for (const hex of hexesOf(snapshots)) {
      const own = this.#series.get(hex) ?? new Set<string>();
      common = common === undefined ? own : new Set([...common].filter((one) => own.has(one)));
      if (common.size === 0) return false;
    }
    return common !== undefined;
  }
}
