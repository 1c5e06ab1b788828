/**
 * What a vault keeps, every reader reads, and all to the same end: whoever loads the ledger, follows it, grows or starts a vault over it, or checks it. Histories are by hostile
 * admins, writers, auditors and vaults; honest snapshots in them are listed, in order, and kept as long as they were promised.
 */
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import type { LedgerEntry } from '../../lib/format/entry.js';
import { entryName } from '../../lib/format/names.js';
import { payloadOf } from '../../lib/format/payload.js';
import { asId } from '../../lib/id.js';
import { readLedger } from '../../lib/ledger/ledger.js';
import { disowned, standings } from '../../lib/ledger/standing.js';
import { entryKey, type Ledger } from '../../lib/ledger/state.js';
import type { Chains } from '../../lib/vault/chains.js';
import { walkLedger } from '../../lib/verify/ledger-walk.js';
import { Findings } from '../../lib/verify/report.js';
import { LedgerFollower } from '../../lib/view/ledger-follower.js';
import { CAST, HOSTS, HostileHistory } from '../helpers/hostile-history.js';
import { forSeeds, seedCount } from '../helpers/seeds.js';
import { difference, verdict, whoCounts } from '../helpers/verdicts.js';

t.setTimeout(0);

/** One of so many seeds is signed for real, because keys are slow. */
const SIGNED = 32;

const EMPTY: Ledger = { chains: [], entries: [], times: [], receipts: new Map() };

/** What a vault answers at once, of everybody in it. */
function answers(chains: Chains, history: HostileHistory): Record<string, unknown> {
  const authors = [...history.raw.keys()].sort();
  return {
    who: whoCounts(authors.flatMap((hex) => chains.authority(hex) ?? [])),
    ended: authors.map((hex) => `${hex} ${chains.hasEnded(hex)} ${[...chains.domains(hex)].sort().join()}`),
    policyNow: JSON.stringify(chains.policy()),
    receipts: authors.flatMap((hex) =>
      chain(history, hex).map((_, at) => `${hex}/${at} ${JSON.stringify(chains.receipt(hex, at))}`),
    ),
    snapshots: [...history.manifests.keys()].map((hex) => `${hex} ${chains.hasSnapshot(Buffer.from(hex, 'hex'))}`),
    // Slots are counted for who still writes, by receipts; from before a vault there are none.
    earlier: history.taken.every(({ receiptSec }) => receiptSec !== undefined)
      ? history.taken
          .filter(({ entry }) => !chains.hasEnded(toHex(entry.author)))
          .map(({ entry }) => {
            const snapshot = payloadOf(entry.payload, 'snapshot')!;
            return `${entryKey(entry)} ${[...chains.earlier(entry.author, snapshot)].sort((a, b) => a - b).join()}`;
          })
      : [],
    ...verdict(chains.place, chains.ledger(), history.nowSec),
  };
}

const chain = (history: HostileHistory, hex: string): readonly LedgerEntry[] => history.chain(hex).entries;

/** What became of the honest hosts' snapshots. */
function broken(history: HostileHistory): string | undefined {
  const ledger = history.assembled();
  const now = history.nowSec;
  const listed = new Map(standings(ledger, now).map((standing, at) => [toHex(standing.id), { standing, at }]));
  const gone = new Map(disowned(ledger).map((standing) => [toHex(standing.id), standing]));
  const limits = new Map(ledger.authorities.map(({ author, limit }) => [toHex(author), limit]));
  let [before, group, groupSec] = [-1, -1, 0];
  for (const { entry, manifest, promisedSec, receiptSec } of history.taken) {
    const found = listed.get(manifest);
    const what = `${entryKey(entry)} (${manifest.slice(0, 8)})`;
    // Admins may revoke a writer: then its snapshots are not listed, and kept all the same.
    const isOwn = entry.sequence < limits.get(toHex(entry.author))!;
    if (!isOwn) {
      if ((gone.get(manifest)?.retainUntilSec ?? -1) < promisedSec) return `${what} is kept for less than was promised, disowned`;
      continue;
    }
    if (found === undefined) return `${what} is not listed`;
    if (found.standing.entry !== entry) return `${what} is listed as another's`;
    if (found.standing.retainUntilSec < promisedSec)
      return `${what} is kept until ${found.standing.retainUntilSec} and was promised ${promisedSec}`;
    if (found.standing.pruned && promisedSec > now) return `${what} is taken off the list`;
    if (receiptSec === undefined) continue;
    if (found.standing.received.sec !== receiptSec)
      return `${what} was received at ${receiptSec}, not ${found.standing.received.sec}`;
    // What was acknowledged in one second is ordered by chains.
    if (receiptSec > groupSec) [before, group, groupSec] = [group, -1, receiptSec];
    if (found.at < before) return `${what} is listed out of order`;
    group = Math.max(group, found.at);
  }
  return undefined;
}

async function run(seed: number, counts: { kept: number; refused: number; taken: number }): Promise<string | undefined> {
  const signed = seed % SIGNED === 0;
  const history = new HostileHistory(seed, { vault: true, signed });
  const clock = Date.now;
  try {
    Date.now = () => history.nowSec * 1000;
    const read = (name: string): Uint8Array | undefined => history.objects.get(name);
    const eager = signed ? new LedgerFollower(history.place, EMPTY, read) : undefined;
    const lazy = signed ? new LedgerFollower(history.place, EMPTY, read) : undefined;
    eager?.poll();
    for (let steps = 12 + history.random(20); steps > 0; steps--) {
      history.step();
      eager?.poll();
    }
    history.acknowledge();
    eager?.poll();
    lazy?.poll();
    counts.kept += history.kept;
    counts.refused += history.refused;
    counts.taken += history.taken.length;
    const { place, nowSec } = history;
    const fresh = history.assembled();
    if (fresh.wrongEnds.length > 0) return `every reader refuses it: ${fresh.wrongEnds[0]!.why}`;
    const known = new Set(fresh.authorities.map(({ author }) => toHex(author)));
    for (const hex of history.raw.keys()) if (!known.has(hex)) return `the chain ${hex} has no author`;
    for (const { author, voids, limit } of fresh.chains)
      if (toHex(author) !== CAST.vault.hex)
        for (const [at, why] of voids) if (at < limit) return `the vault kept what is void: ${why}`;
    const expected = verdict(place, fresh, nowSec);
    const grown = answers(history.chains!, history);
    const started = history.fresh();
    const wrong =
      broken(history) ??
      difference(expected, verdict(place, history.chains!.ledger(), nowSec)) ??
      difference(answers(started, history), grown);
    if (wrong !== undefined || eager === undefined) return wrong;
    const followed = difference(expected, verdict(place, eager.ledger, nowSec));
    if (followed !== undefined) return `a follower: ${followed}`;
    // Who looks late dates by its look what has no receipt: it agrees on who and what counts.
    const { chains, policy: _, ...__ } = verdict(place, lazy!.ledger, nowSec);
    const late = difference({ chains: expected.chains }, { chains });
    if (late !== undefined) return `a follower that comes late: ${late}`;
    return await stored(history, expected);
  } finally {
    Date.now = clock;
  }
}

/** What loading and checking make of the objects. */
async function stored(history: HostileHistory, expected: Record<string, unknown>): Promise<string | undefined> {
  const { store } = history.place;
  const nowSec = history.nowSec;
  for (const [hex, { storedMs, entries }] of history.raw)
    for (const { sequence } of entries) {
      const name = entryName(asId('author', Buffer.from(hex, 'hex')), sequence);
      history.nowSec = storedMs[sequence]! / 1000;
      await store.put(name, [history.objects.get(name)!]);
    }
  history.nowSec = nowSec;
  const loaded = difference(expected, verdict(history.place, await readLedger(history.place, true), nowSec));
  if (loaded !== undefined) return `loading: ${loaded}`;
  const findings = new Findings();
  const entries = new Map<string, { name: string; sizeBytes: number; storedMs?: number }>();
  for await (const info of store.list('ledger/')) entries.set(info.name, info);
  const walked = await walkLedger(history.place as never, { entries }, findings);
  if (findings.errorCount > 0) return `a check finds: ${JSON.stringify(findings.errors[0])}`;
  const checked = difference(expected, verdict(history.place, walked, nowSec));
  return checked === undefined ? undefined : `checking: ${checked}`;
}

t.test(`what a vault keeps, every reader reads alike, and honest snapshots stay: ${seedCount(10_000)} seeds`, async (t) => {
  const counts = { kept: 0, refused: 0, taken: 0 };
  await forSeeds(t, 10_000, (seed) => run(seed, counts));
  t.comment(`${counts.kept} entries kept, ${counts.refused} refused, ${counts.taken} honest snapshots`);
  t.ok(counts.taken > 0 && HOSTS.length > 0);
});
