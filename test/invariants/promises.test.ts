/**
 * What is promised stays promised (docs/security.md, R1 to R4), whatever anybody adds to a ledger: retirements of everybody, certificates for other roles, policies of any date, retired
 * streams, extensions and receipts by vaults that lie, prune-done entries that lie. Through a vault, and in a plain directory where everything that is signed is there.
 */
import t from 'tap';
import { toHex } from '../../lib/bytes.js';
import { State } from '../../lib/format/manifest.js';
import { payloadOf } from '../../lib/format/payload.js';
import { disowned, hasExpired, type Standing, seriesOf, standings } from '../../lib/ledger/standing.js';
import { type Assembled, entryKey, type Ledger } from '../../lib/ledger/state.js';
import { HostileHistory } from '../helpers/hostile-history.js';
import { forSeeds, seedCount } from '../helpers/seeds.js';

t.setTimeout(0);

/** With what manifests say of themselves, as claims.ts finds it. */
function seen(history: HostileHistory): Assembled {
  const ledger = history.assembled();
  const falseClaims = new Set<string>();
  for (const { entries } of ledger.chains)
    for (const entry of entries) {
      const payload = payloadOf(entry.payload, 'snapshot');
      const manifest = payload === undefined ? undefined : history.manifests.get(toHex(payload.manifest));
      if (payload === undefined || manifest === undefined) continue;
      const { writer, stream, state } = manifest;
      if (writer !== toHex(entry.author) || toHex(stream) !== toHex(payload.stream) || state !== payload.state)
        falseClaims.add(entryKey(entry));
    }
  return { ...ledger, falseClaims };
}

/** What there is to be kept: listed, or disowned and kept all the same. */
function keptBy(ledger: Ledger, nowSec: number): Map<string, Standing> {
  const all = new Map<string, Standing>();
  for (const standing of [...disowned(ledger), ...standings(ledger, nowSec)]) {
    const hex = toHex(standing.id);
    const { retainUntilSec = 0, freeSec = 0 } = all.get(hex) ?? {};
    // Pruning keeps to the longer of the two.
    all.set(hex, {
      ...standing,
      retainUntilSec: Math.max(retainUntilSec, standing.retainUntilSec),
      freeSec: Math.max(freeSec, standing.freeSec),
    });
  }
  return all;
}

/** `before` without what its own author's retirement takes back, as docs/security.md says of admins, and without holds that were released since. */
function whatStands(before: Ledger, after: Assembled): Ledger {
  const counting = new Set(after.entries.map(entryKey));
  const known = new Set(before.entries.map(entryKey));
  const admins = new Set(before.chains.filter(({ role }) => role === 'admin').map(({ author }) => toHex(author)));
  const released = new Set(
    after.entries.flatMap((entry) => {
      const release = payloadOf(entry.payload, 'release');
      return release === undefined || known.has(entryKey(entry)) ? [] : [entryKey(release)];
    }),
  );
  const stays = before.entries.map(
    (entry) =>
      !(admins.has(toHex(entry.author)) && isWord(entry) && !counting.has(entryKey(entry))) && !released.has(entryKey(entry)),
  );
  return {
    ...before,
    entries: before.entries.filter((_, at) => stays[at]),
    times: before.times.filter((_, at) => stays[at]),
  };
}

const isWord = ({ payload }: Ledger['entries'][number]): boolean =>
  payloadOf(payload, 'extend') !== undefined || payloadOf(payload, 'hold') !== undefined;

/** What was promised by `before` and is not by `after`. */
function shortened(before: Ledger, after: Assembled, nowSec: number): string | undefined {
  const then = keptBy(whatStands(before, after), nowSec);
  const now = keptBy(after, nowSec);
  for (const [hex, standing] of then) {
    const still = now.get(hex);
    const what = `${hex.slice(0, 8)} of ${entryKey(standing.entry)}`;
    if (still === undefined) return `${what} is not there any more`;
    if (still.retainUntilSec < standing.retainUntilSec)
      return `${what} was kept until ${standing.retainUntilSec}, and is until ${still.retainUntilSec}`;
    const held = new Set(still.holds.map((hold) => entryKey(hold)));
    const lost = standing.holds.find((hold) => !held.has(entryKey(hold)));
    if (lost !== undefined) return `${what} is not held by ${entryKey(lost)} any more, and nobody released it`;
    const isKept = standing.retainUntilSec > nowSec || standing.holds.length > 0;
    if (isKept && (hasExpired(still, nowSec) || (still.pruned && !standing.pruned))) return `${what} is kept and was taken off`;
  }
  return undefined;
}

/** Streams whose last complete snapshot may go although no admin retired its stream. */
function newestGone(ledger: Ledger, nowSec: number): string | undefined {
  const last = new Map<string, string>();
  for (const entry of ledger.entries) {
    const payload = payloadOf(entry.payload, 'snapshot');
    if (payload?.state === State.complete) last.set(seriesOf({ entry, payload }), toHex(payload.manifest));
    const retired = payloadOf(entry.payload, 'retireStream');
    if (retired !== undefined) last.delete(`${toHex(retired.author)}/${toHex(retired.stream)}`);
  }
  const all = new Map(standings(ledger, nowSec).map((standing) => [toHex(standing.id), standing]));
  for (const [series, hex] of last)
    if (all.get(hex)!.freeSec !== Number.POSITIVE_INFINITY) return `the newest of ${series} may go`;
  return undefined;
}

for (const vault of [true, false])
  t.test(
    `nothing that is added shortens a promise, ${vault ? 'through a vault' : 'in a directory'}: ${seedCount(10_000)} seeds`,
    async (t) => {
      const counts = { kept: 0, compared: 0 };
      await forSeeds(t, 10_000, (seed) => {
        const history = new HostileHistory(seed, { vault });
        let before: Assembled | undefined;
        for (let steps = 14 + history.random(16); steps > 0; steps--) {
          history.step();
          if (history.random(4) > 0 && steps > 1) continue;
          // A vault answers when there is a receipt: until then nothing was promised, and an author's time may order an entry otherwise.
          if (vault) history.acknowledge();
          const after = seen(history);
          if (before !== undefined) {
            counts.compared++;
            const wrong = shortened(before, after, history.nowSec) ?? newestGone(after, history.nowSec);
            if (wrong !== undefined) return wrong;
          }
          before = after;
        }
        counts.kept += history.kept;
        return undefined;
      });
      t.comment(`${counts.kept} entries, ${counts.compared} times compared`);
      t.ok(counts.compared > seedCount(10_000));
    },
  );
