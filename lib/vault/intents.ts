/** What the intents to prune in a ledger name, kept up with as it grows. An id that was named once is never used again. */
import { type PruneList, payloadOf } from '../format/payload.js';
import { hexesOf } from '../id.js';
import type { Chains } from './chains.js';

const KINDS = ['packs', 'snapshots', 'indexes'] as const;

export class Intents {
  readonly chains: Chains;
  /** How much of each author's chain was looked at. */
  readonly #seen = new Map<string, number>();
  readonly #named = { packs: new Set<string>(), snapshots: new Set<string>(), indexes: new Set<string>() };

  constructor(chains: Chains) {
    this.chains = chains;
  }

  /** Takes up what came since it was last called. */
  catchUp(): void {
    for (const author of this.chains.authors()) {
      const { entries } = this.chains.chain(author);
      const limit = Math.min(entries.length, this.chains.authority(author)?.limit ?? 0);
      let at = this.#seen.get(author) ?? 0;
      for (; at < limit; at++) {
        const intent = payloadOf(entries[at]!.payload, 'pruneIntent');
        if (intent === undefined) continue;
        for (const kind of KINDS) for (const hex of hexesOf(intent[kind])) this.#named[kind].add(hex);
      }
      this.#seen.set(author, at);
    }
  }

  /** Whether an intent names an object. @param hex - its id */
  names(kind: keyof PruneList, hex: string): boolean {
    return this.#named[kind].has(hex);
  }
}
