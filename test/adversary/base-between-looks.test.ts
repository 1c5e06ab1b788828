/** A manifest's base that goes between two looks: between its put and its entry, or announced meanwhile. Nothing is committed that would stop pruning for ever. */
import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { toHex } from '../../lib/bytes.js';
import { EntryType, type PruneList } from '../../lib/format/payload.js';
import type { Repository } from '../../lib/repository/repository.js';
import { runPrune } from '../../lib/vault/prune.js';
import { discardPruned } from '../../lib/vault/removing.js';
import { forgeManifest, forgePack, forgeSession, HandChain, only, packNameOf, snapshotPayload } from '../helpers/attacker.js';
import { startVaultRepository, type TestVaultRepository } from '../helpers/vault.js';

type Manifest = ReturnType<typeof forgeManifest>;

interface Scene {
  readonly made: TestVaultRepository;
  readonly writer: Repository;
  /** Each builds on the one before; all are stored, and no entry names one. */
  readonly chain: readonly [Manifest, Manifest, Manifest];
  readonly pack: Uint8Array;
  /** What comes of an entry that names a manifest. */
  commit(manifest: Manifest): Promise<void>;
  /** A manifest that builds on the last, not stored yet. */
  next(): Manifest;
  announce(list: Partial<PruneList>): Promise<void>;
}

const NONE = new Uint8Array(0);

async function scene(t: Test): Promise<Scene> {
  const made = await startVaultRepository(t);
  const writer = await made.open('writer', only.writer(made.keyring));
  const keys = await forgeSession(writer);
  const pack = forgePack(keys, [{ id: randomBytes(32), type: 1, bytes: randomBytes(100) }]);
  await writer.store.put(packNameOf(pack), [pack.bytes]);
  const pin = [{ id: pack.packId, bytes: pack.bytes.byteLength }];
  const on = (base: Manifest, depth: number): Manifest =>
    forgeManifest(keys, pin, { pins: { depth, base: base.id, removed: NONE, added: NONE } });
  const first = forgeManifest(keys, pin);
  const second = on(first, 1);
  const third = on(second, 2);
  for (const { name, bytes } of [first, second, third]) await writer.store.put(name, [bytes]);
  const entries = await HandChain.at(writer, made.keyring.writer!.seed);
  const { commits } = made.vault.guard.opened();
  return {
    made,
    writer,
    chain: [first, second, third],
    pack: pack.packId,
    async commit(manifest) {
      const { sequence, previous } = entries;
      const entry = entries.next(Date.now(), snapshotPayload(manifest));
      try {
        await writer.store.put(entry.name, [entry.bytes]);
      } catch (error) {
        Object.assign(entries, { sequence, previous });
        throw error;
      }
    },
    next: () => on(third, 3),
    announce: async (list) => {
      const none = { packs: NONE, snapshots: NONE, indexes: NONE };
      await commits.serial(() => commits.append({ type: EntryType.pruneIntent, ...none, ...list }));
    },
  };
}

const refused = (message: RegExp): { code: string; message: RegExp } => ({ code: 'REFUSED', message });

for (const which of [0, 1])
  t.test(`a base that is deleted between a manifest and its entry is missed (${which})`, async (t) => {
    const { made, writer, chain, commit, next } = await scene(t);
    const { guard } = made.vault;
    await guard.opened().commits.serial(() => discardPruned(guard, chain[which]!.name));
    await t.rejects(commit(chain[2]), refused(/builds on manifest [0-9a-f]{16}, which is not there/));
    const { name, bytes } = next();
    await t.rejects(writer.store.put(name, [bytes]), refused(/builds on manifest [0-9a-f]{16}, which is not there/));
    t.match(await runPrune(guard, 'plan'), { blocked: [] }, 'and pruning goes on');
  });

for (const which of [0, 1])
  t.test(
    `a base that an intent names is refused, for manifests and entries, wherever in the chain it stands (${which})`,
    async (t) => {
      const { writer, chain, commit, next, announce } = await scene(t);
      await announce({ snapshots: chain[which]!.id });
      await t.rejects(commit(chain[2]), refused(/builds on manifest [0-9a-f]{16}, which is to be pruned/));
      const { name, bytes } = next();
      await t.rejects(writer.store.put(name, [bytes]), refused(/builds on manifest [0-9a-f]{16}, which is to be pruned/));
    },
  );

t.test(
  'so is a manifest that an intent names itself, and one whose pack or index object is announced or not there',
  async (t) => {
    const { made, writer, chain, commit, announce, pack } = await scene(t);
    await announce({ snapshots: chain[2].id });
    await t.rejects(commit(chain[2]), refused(/is manifest [0-9a-f]{16}, which is to be pruned/));
    const keys = await forgeSession(writer);
    const lost = forgeManifest(keys, [], { indexIds: [randomBytes(32)] });
    await t.rejects(writer.store.put(lost.name, [lost.bytes]), refused(/names index object [0-9a-f]{16}, which is not there/));
    await commit(chain[0]);
    await announce({ packs: pack });
    await t.rejects(commit(chain[1]), refused(/pins pack [0-9a-f]{16}, which is to be pruned/));
    t.ok(made.log.some((line) => line.startsWith('refused-entry')));
  },
);

t.test('a base whose stored bytes were damaged meanwhile is refused, and one that is whole is not', async (t) => {
  const { made, chain, commit } = await scene(t);
  await commit(chain[1]);
  const { guard } = made.vault;
  await guard.store.remove(chain[0].name);
  const other = chain[0].bytes.slice();
  other[other.byteLength - 1]! ^= 1;
  await guard.store.put(chain[0].name, [other]);
  await t.rejects(commit(chain[2]), refused(/builds on manifest [0-9a-f]{16}, which is damaged/));
  await (await made.connect('writer')).replaceDamaged(chain[0].name, [chain[0].bytes]);
  await commit(chain[2]);
  t.equal(guard.opened().chains.hasSnapshot(chain[2].id), true, `${toHex(chain[2].id)} is a snapshot`);
});
