/**
 * Which extensions by a vault count (docs/format.md §11). A vault may keep the snapshots of one stream longer by itself, as long as the policy allows and no longer, so
 * that a stolen vault key cannot fill the disk for ever. Pure.
 */
import { toHex } from '../bytes.js';
import type { LedgerEntry } from '../format/entry.js';
import { MAX_VAULT_EXTENSION_SEC, type PolicyPayload, payloadOf, type SnapshotPayload } from '../format/payload.js';
import { hexesOf } from '../id.js';
import type { Ledger } from './state.js';

interface Open {
  readonly snapshots: string;
  readonly untilSec: number;
}

type Found = ReadonlyMap<string, readonly { readonly entry: LedgerEntry; readonly payload: SnapshotPayload }[]>;

/** Judges extensions in merged order. */
export class VaultExtensions {
  /** The policy in force where the entry stands. */
  policy: PolicyPayload | undefined;
  readonly #found: Found;
  readonly #vaults: ReadonlySet<string>;
  /** By vault and series, the one that ends last. */
  readonly #open = new Map<string, Open>();

  /** @param found - snapshot entries by manifest, hex */
  constructor({ chains }: Pick<Ledger, 'chains'>, found: Found) {
    this.#found = found;
    this.#vaults = new Set(chains.filter(({ role }) => role === 'vault').map(({ author }) => toHex(author)));
  }

  /** Whether an extend entry that was received at `sec` counts; an admin's always does. */
  allow({ author, payload }: LedgerEntry, sec: number): boolean {
    const vault = toHex(author);
    const extend = payloadOf(payload, 'extend')!;
    if (!this.#vaults.has(vault)) return true;
    const series = new Set([...hexesOf(extend.snapshots)].map((hex) => this.#seriesOf(hex)));
    const [only] = series;
    if (series.size !== 1 || only === undefined) return false;
    const longest = Math.min(this.policy?.terms?.extensionSec ?? 0, MAX_VAULT_EXTENSION_SEC);
    if (extend.untilSec > sec + longest) return false;
    const key = `${vault}/${only}`;
    const snapshots = toHex(extend.snapshots);
    const open = this.#open.get(key);
    // A renewal names the same snapshots; another set has to wait for the end of the one that is open.
    if (open !== undefined && open.untilSec > sec && open.snapshots !== snapshots) return false;
    this.#open.set(key, { snapshots, untilSec: Math.max(extend.untilSec, open?.snapshots === snapshots ? open.untilSec : 0) });
    return true;
  }

  #seriesOf(manifest: string): string | undefined {
    const one = this.#found.get(manifest)?.[0];
    return one === undefined ? undefined : `${toHex(one.entry.author)}/${toHex(one.payload.stream)}`;
  }
}
