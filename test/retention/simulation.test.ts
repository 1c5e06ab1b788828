/**
 * A deterministic simulation: writers (one of them hostile), a vault whose clock jumps and which crashes and reboots, a pruner, an admin. Every run comes from a
 * seed and is repeated by it: VARVE_SEED=N runs one, VARVE_SEEDS=N that many. After every step nothing may be gone that is still kept, by what the
 * simulation wrote down itself; in the end everything that is not kept must be gone.
 */
import t from 'tap';
import { fromHex, toHex } from '../../lib/bytes.js';
import { EntryType } from '../../lib/format/payload.js';
import { joinSorted } from '../../lib/ledger/pins.js';
import { intended } from '../../lib/ledger/standing.js';
import { classFor, currentPolicy, termsOf } from '../../lib/retention/policy.js';
import type { PrunePlan } from '../../lib/retention/prune-plan.js';
import { retain } from '../../lib/retention/slots.js';
import { DAY, HOUR, type Known, MINIMUM, SimulatedRepository, seeded } from '../helpers/simulated-repository.js';

const SEEDS = Number(process.env.VARVE_SEEDS ?? 10_000);
const ONLY = process.env.VARVE_SEED;
const WRITERS = ['writer 1', 'writer 2', 'hostile writer'];
const STREAMS = ['etc', 'home'];
const YEARS = 10 * 365 * DAY;

type Task = Generator<void, void, void>;
type Random = (below: number) => number;

const stream = (name: string): Uint8Array => fromHex(Buffer.from(name.padEnd(16, '.')).toString('hex').slice(0, 32));
const joined = (ids: readonly string[]): Uint8Array => joinSorted(ids.map(fromHex));

class Simulation {
  readonly random: Random;
  readonly repository: SimulatedRepository;
  readonly tasks: Task[] = [];
  readonly clocks = new Map(WRITERS.map((name) => [name, 0]));
  readonly trail: string[] = [];
  adminNames = ['admin 0'];
  refused = 0;

  constructor(seed: number) {
    this.random = seeded(seed);
    this.repository = new SimulatedRepository(seed, this.adminNames, 'vault');
    const { repository } = this;
    const now = repository.trueSec;
    repository.append('admin 0', now, { type: EntryType.genesis });
    for (const name of WRITERS)
      repository.append('admin 0', now, {
        type: EntryType.writerCert,
        publicKey: repository.key(name),
        domain: new Uint8Array(16),
      });
    repository.append('admin 0', now, { type: EntryType.policy, ...MINIMUM });
  }

  get admin(): string {
    return this.adminNames.at(-1)!;
  }

  one<T>(of: readonly T[]): T {
    return of[this.random(of.length)]!;
  }

  /** A run of a writer, as lib/ingest does it: look, store, store the manifest, look again, commit. */
  *backup(name: string): Task {
    const { repository, random } = this;
    const hostile = name === 'hostile writer' && random(2) === 0;
    const series = this.one(STREAMS);
    const seen = intended(repository.ledger().entries).packs;
    const usable = [...repository.packs.keys()].filter((id) => hostile || !seen.has(id));
    const session = repository.newId();
    const pins = usable.filter((id) => random(hostile && seen.has(id) ? 1 : 3) === 0).slice(0, 6);
    yield;
    for (let left = random(3); left > 0; left--) {
      const id = repository.newId();
      repository.putPack(id, session);
      pins.push(id);
      yield;
    }
    if (hostile && random(4) === 0) pins.push(repository.newId());
    const previous = [...repository.known.values()].filter((known) => known.series === `${name}/${series}`).at(-1);
    const base = previous !== undefined && repository.manifests.has(previous.id) ? previous.id : undefined;
    const manifest = repository.putManifest([...new Set(pins)].sort(), base, session);
    yield;
    // From here to the entry the vault lets nothing else in. It looks at what is there now, whatever the writer saw.
    if (!repository.mayWrite(name) || !repository.acceptsPins(manifest, intended(repository.ledger().entries))) {
      this.refused++;
      return;
    }
    const policy = currentPolicy(repository.ledger().entries);
    const chosen = classFor(policy, { host: name, label: series, tags: [] });
    const timeSec = Math.max(0, repository.trueSec + (this.clocks.get(name) ?? 0));
    const complete = random(5) > 0;
    const own = retain(policy, chosen, timeSec, complete, []);
    const promisedSec = hostile && random(2) === 0 ? 0 : Math.min(own.retainUntilSec, repository.trueSec + YEARS);
    const entry = repository.append(name, timeSec, {
      type: EntryType.snapshot,
      manifest: fromHex(manifest),
      stream: stream(series),
      state: complete ? 0 : 1,
      retainUntilSec: promisedSec,
      slots: own.slots,
      ...(chosen === undefined ? {} : { class: chosen.name }),
    });
    for (const known of repository.known.values()) if (complete && known.series === `${name}/${series}`) known.superseded = true;
    const kept: Known = {
      id: manifest,
      series: `${name}/${series}`,
      manifest: repository.manifests.get(manifest)!,
      promisedSec,
      holds: new Set(),
      complete,
      superseded: false,
    };
    repository.known.set(manifest, kept);
    repository.pending.push({ author: toHex(entry.author), sequence: entry.sequence });
    yield;
    repository.acknowledge('vault');
  }

  announce(plan: PrunePlan): void {
    const wanted = (fates: readonly { id: string; state: string }[]): string[] =>
      fates.filter(({ state }) => state === 'expired' || state === 'orphan').map(({ id }) => id);
    const [packs, snapshots] = [wanted(plan.packs), wanted(plan.snapshots)];
    if (packs.length + snapshots.length === 0) return;
    const { repository } = this;
    const intent = { packs: joined(packs), snapshots: joined(snapshots), indexes: new Uint8Array(0) };
    repository.append('vault', repository.lateSec, { type: EntryType.pruneIntent, ...intent });
  }

  /** A sweep and an announcement, as lib/retention/prune.ts does them. */
  *prune(): Task {
    const { repository } = this;
    const ripe = (fates: readonly { id: string; state: string }[]): string[] =>
      fates.filter(({ state }) => state === 'ripe').map(({ id }) => id);
    // The vault prunes when no entry is coming in: what came in before has its receipt.
    repository.acknowledge('vault');
    const plan = repository.plan(repository.earlySec);
    let packs = ripe(plan.packs);
    let manifests = [...plan.manifestsToDelete];
    const snapshots = ripe(plan.snapshots);
    yield;
    if (packs.length + snapshots.length > 0) {
      const list = { packs: joined(packs), snapshots: joined(snapshots), indexes: new Uint8Array(0) };
      repository.append('vault', repository.earlySec, {
        type: EntryType.pruneDone,
        author: repository.author('vault'),
        sequence: 0,
        ...list,
      });
      yield;
      repository.acknowledge('vault');
      const again = repository.plan(repository.earlySec);
      const still = new Set([...ripe(again.packs), ...again.manifestsToDelete]);
      packs = packs.filter((id) => still.has(id));
      manifests = manifests.filter((id) => still.has(id));
      for (const id of manifests) {
        repository.removeManifest(id);
        yield;
      }
      for (const id of packs) {
        repository.removePack(id);
        yield;
      }
    }
    repository.acknowledge('vault');
    this.announce(repository.plan(repository.earlySec));
  }

  /** Something an admin does, or somebody with a key that an admin gave up. */
  *administer(): Task {
    const { repository, random } = this;
    const all = [...repository.known.values()];
    const some = all.filter(() => random(4) === 0);
    const now = repository.lateSec;
    const who = random(5) === 0 ? this.one(this.adminNames) : this.admin;
    const counts = repository.mayWrite(who);
    switch (random(6)) {
      case 0:
        if (some.length > 0) {
          // What was taken off the list before is not there to be held.
          const there = new Set(
            repository
              .standings()
              .filter(({ pruned }) => !pruned)
              .map(({ id }) => toHex(id)),
          );
          const { sequence, author } = repository.append(who, now, {
            type: EntryType.hold,
            snapshots: joined(some.map(({ id }) => id)),
            reason: '',
          });
          if (counts) for (const known of some) if (there.has(known.id)) known.holds.add(`${toHex(author)}/${sequence}`);
        }
        return;
      case 1: {
        const held = all.flatMap(({ holds }) => [...holds]);
        if (held.length === 0) return;
        const [author, sequence] = this.one(held).split('/') as [string, string];
        repository.append(who, now, { type: EntryType.release, author: fromHex(author), sequence: Number(sequence), reason: '' });
        if (counts) for (const known of all) known.holds.delete(`${author}/${sequence}`);
        return;
      }
      case 2: {
        const factor = this.one([0, 1, 3]);
        const { minimumSec, hourSec, daySec, weekSec } = MINIMUM;
        repository.append(who, now, {
          type: EntryType.policy,
          ...MINIMUM,
          minimumSec: minimumSec * factor,
          hourSec: hourSec * factor,
          daySec: daySec * factor,
          weekSec: weekSec * factor,
          terms: { ...termsOf(MINIMUM), waitSec: this.one([0, DAY, 3 * DAY]) },
        });
        return;
      }
      case 3:
        if (some.length > 0) {
          const untilSec = Math.floor(now + random(60) * DAY);
          const there = new Set(
            repository
              .standings()
              .filter(({ pruned }) => !pruned)
              .map(({ id }) => toHex(id)),
          );
          repository.append(who, now, {
            type: EntryType.extend,
            snapshots: joined(some.map(({ id }) => id)),
            untilSec,
            reason: '',
          });
          if (counts)
            for (const known of some) if (there.has(known.id)) known.promisedSec = Math.max(known.promisedSec, untilSec);
        }
        return;
      case 4:
        if (this.adminNames.length < 3 && counts && who === this.admin) {
          const next = `admin ${this.adminNames.length}`;
          repository.append(who, now, { type: EntryType.keyRotate, role: 0, publicKey: repository.key(next) });
          this.adminNames.push(next);
        }
        return;
      case 5:
        if (random(4) === 0) {
          const author = repository.author('hostile writer');
          const chain = repository.chains.get(toHex(author));
          const count = chain?.entries.length ?? 0;
          const head = chain?.hashes.at(-1) ?? new Uint8Array(32);
          repository.append(who, now, { type: EntryType.retire, author, count, head, reason: 'compromised' });
        }
    }
  }

  /** Time, clocks, crashes. */
  disturb(): void {
    const { repository, random } = this;
    switch (random(12)) {
      case 0:
        repository.wallOffsetSec = this.one([0, 0, YEARS, -YEARS, 5 * DAY, -5 * DAY]);
        return;
      case 1:
        // The vault's machine goes down, and everything in the air with it.
        repository.reboot(random(3 * DAY));
        repository.reboots++;
        this.tasks.length = 0;
        repository.acknowledge('vault');
        return;
      case 2:
        this.clocks.set(this.one(WRITERS), this.one([0, YEARS, -YEARS, 40 * DAY, -40 * DAY]));
        return;
      case 3:
        if (this.tasks.length > 0) this.tasks.splice(random(this.tasks.length), 1);
        return;
      default:
        repository.pass(this.one([60, HOUR, 6 * HOUR, DAY, 3 * DAY, 12 * DAY]));
    }
  }

  step(): void {
    const { random } = this;
    const choice = random(12);
    if (choice < 3) this.tasks.push(this.backup(this.one(WRITERS)));
    else if (choice === 3) this.tasks.push(this.prune());
    else if (choice === 4) this.tasks.push(this.administer());
    else if (choice < 7) this.disturb();
    else if (this.tasks.length > 0) {
      const at = random(this.tasks.length);
      for (let times = 1 + random(4); times > 0; times--) {
        if (this.tasks[at]!.next().done !== true) continue;
        this.tasks.splice(at, 1);
        break;
      }
    }
  }

  /** Everything comes to rest: clocks right, nothing running, long after. */
  *settle(): Generator<void, void, void> {
    const { repository } = this;
    this.tasks.length = 0;
    repository.acknowledge('vault');
    repository.wallOffsetSec = 0;
    for (let round = 0; round < 5; round++) {
      // Longer than anything can be kept, however far the early clock has fallen behind.
      repository.pass(6 * YEARS);
      yield* this.prune();
    }
  }
}

/** What went wrong with this seed; undefined if nothing did. */
function run(seed: number, counts: { kept: number; deleted: number; refused: number }): string | undefined {
  const simulation = new Simulation(seed);
  const { repository } = simulation;
  let seen = 0;
  let promised = new Map<string, number>();
  const steps = 30 + simulation.random(50);
  for (let at = 0; at < steps; at++) {
    simulation.step();
    const wrong: string[] = [];
    if (repository.changes === seen) continue;
    seen = repository.changes;
    wrong.push(...repository.violations());
    const now = new Map(repository.standings().map(({ id, retainUntilSec }) => [toHex(id), retainUntilSec]));
    for (const [id, untilSec] of promised)
      if (now.has(id) && now.get(id)! < untilSec) wrong.push(`${id.slice(0, 8)} is kept for less than before`);
    promised = now;
    // Each reboot may add a day, and a clock that is set forward no more than that.
    const ahead = repository.earlySec - repository.trueSec;
    if (ahead > repository.reboots * DAY + 1)
      wrong.push(`the early clock is ${ahead} s ahead after ${repository.reboots} reboots`);
    if (wrong.length > 0) return `step ${at}: ${wrong.join('; ')}`;
  }
  const before = repository.packs.size;
  for (const _ of simulation.settle()) {
    const wrong = repository.violations();
    if (wrong.length > 0) return `at rest: ${wrong.join('; ')}`;
  }
  const needed = new Set<string>();
  for (const known of repository.known.values())
    if (known.holds.size > 0 || (known.complete && !known.superseded)) for (const id of known.manifest.ids) needed.add(id);
  const left = [...repository.packs.keys()].filter((id) => !needed.has(id));
  if (left.length > 0) return `at rest: ${left.length} of ${repository.packs.size} packs are still there that nothing keeps`;
  counts.kept += needed.size;
  counts.deleted += before - repository.packs.size;
  counts.refused += simulation.refused;
  return undefined;
}

t.test(
  `nothing that is kept is ever deleted, and what is not kept goes: ${ONLY === undefined ? `${SEEDS} seeds` : `seed ${ONLY}`}`,
  async (t) => {
    const counts = { kept: 0, deleted: 0, refused: 0 };
    const failures: string[] = [];
    const from = ONLY === undefined ? 0 : Number(ONLY);
    const to = ONLY === undefined ? SEEDS : from + 1;
    for (let seed = from; seed < to && failures.length < 5; seed++) {
      const wrong = run(seed, counts);
      if (wrong !== undefined) failures.push(`VARVE_SEED=${seed}: ${wrong}`);
    }
    t.same(failures, []);
    if (ONLY === undefined) {
      t.ok(
        counts.kept > SEEDS / 3 && counts.deleted > SEEDS && counts.refused > SEEDS / 50,
        'kept, deleted and refused: all of it happened',
      );
      t.comment(`${counts.kept} packs kept in the end, ${counts.deleted} deleted, ${counts.refused} snapshots refused`);
    }
  },
);
