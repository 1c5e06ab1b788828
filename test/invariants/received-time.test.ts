/**
 * Time is when it was received: what an author's clock says changes nothing that is shown, chosen or kept, wherever a vault acknowledged the entry; and without a vault nothing
 * counts as received later than a day after the store took it.
 */
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { payloadOf } from '../../lib/format/payload.js';
import { msOfTime } from '../../lib/format/time.js';
import { findSnapshot, snapshotRecords } from '../../lib/ledger/snapshots.js';
import { type Assembled, assemble, CLOCK_SLACK_MS, entryKey, type Ledger, type RawChain } from '../../lib/ledger/state.js';
import { CAST, DAY, HostileHistory, type Name } from '../helpers/hostile-history.js';
import { forSeeds, seedCount } from '../helpers/seeds.js';
import { difference, verdict } from '../helpers/verdicts.js';

t.setTimeout(0);

function lived(
  seed: number,
  options: { vault: boolean; times?: number; genesisVault?: boolean; without?: readonly Name[] },
): HostileHistory {
  const history = new HostileHistory(seed, options);
  for (let steps = 12 + history.random(20); steps > 0; steps--) history.step();
  history.acknowledge();
  return history;
}

/** What names mean. */
function chosen(ledger: Ledger, nowSec: number): string[] {
  const records = snapshotRecords(ledger).map((record) => ({ ...record, time: record.received }));
  return ['latest', 'latest~1', `@${new Date((nowSec - 3 * DAY) * 1000).toISOString()}`].map((name) => {
    try {
      return toHex(findSnapshot(records, name).id);
    } catch {
      return 'none';
    }
  });
}

const shown = (history: HostileHistory, ledger: Ledger): Record<string, unknown> => ({
  ...verdict(history.place, ledger, history.nowSec),
  chosen: chosen(ledger, history.nowSec),
});

t.test(`other times of authors, the same ledger: ${seedCount(10_000)} seeds`, async (t) => {
  let changed = 0;
  await forSeeds(t, 10_000, (seed) => {
    const history = lived(seed, { vault: true });
    const ledger = history.assembled();
    const read = new Map<string, RawChain>();
    for (const [hex, chain] of history.raw) {
      const entries = chain.entries.map((entry) => {
        if (!ledger.receipts.has(entryKey(entry)) || hex === CAST.vault.hex || payloadOf(entry.payload, 'receipt') !== undefined)
          return entry;
        changed++;
        return { ...entry, time: history.anyTime() };
      });
      read.set(hex, { ...chain, entries });
    }
    return difference(shown(history, ledger), shown(history, assemble(history.place.genesis, read)));
  });
  t.ok(changed > seedCount(10_000));
});

t.test(`other clocks of authors, the same receipts: ${seedCount(10_000)} seeds`, async (t) => {
  let compared = 0;
  await forSeeds(t, 10_000, (seed) => {
    const [one, other] = [1, 2].map((times) =>
      lived(seed, { vault: true, genesisVault: true, times: seed * 2 + times, without: ['vault 2'] }),
    ) as [HostileHistory, HostileHistory];
    const ledgers = [one.assembled(), other.assembled()] as const;
    const isWhole = ({ receipts, chains, authorities }: Assembled): boolean =>
      authorities.filter(({ receiptLimit }) => receiptLimit > 0).length === 1 &&
      chains.every(
        ({ author, entries }) => toHex(author) === CAST.vault.hex || entries.every((entry) => receipts.has(entryKey(entry))),
      );
    // After the vault was retired, authors' times are all there is; and another vault, of an attacker's, dates as it likes what this one did not acknowledge yet.
    compared += ledgers.every(isWhole) ? 1 : 0;
    if (!ledgers.every(isWhole)) return undefined;
    return difference(shown(one, ledgers[0]), shown(other, ledgers[1]));
  });
  t.ok(compared > seedCount(10_000) / 4, `${compared} compared`);
});

t.test(`without receipts nothing is received more than a day after it was stored: ${seedCount(10_000)} seeds`, async (t) => {
  let ahead = 0;
  await forSeeds(t, 10_000, (seed) => {
    const history = lived(seed, { vault: false });
    const ledger = history.assembled();
    for (const [at, entry] of ledger.entries.entries()) {
      if (
        ledger.receipts.has(entryKey(entry)) ||
        ledger.authorities.some(({ author, receiptLimit }) => receiptLimit > 0 && toHex(author) === toHex(entry.author))
      )
        continue;
      const storedMs = history.chain(toHex(entry.author)).storedMs[entry.sequence]!;
      if (msOfTime(entry.time) > storedMs + CLOCK_SLACK_MS) ahead++;
      if (msOfTime(ledger.times[at]!) > storedMs + CLOCK_SLACK_MS) return `${entryKey(entry)} is received later`;
    }
    return undefined;
  });
  t.ok(ahead > seedCount(10_000) / 10);
});
