/**
 * A writer whose machine and credentials are an attacker's, against its own domain: packs that do not hold what their directories say, other bytes under an id that
 * is there, index objects that lie. The vault cannot see any of it, so the readers must: right bytes or an error, never others, and nothing from before is touched.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { toHex, viewOf } from '../../lib/bytes.js';
import { CorruptError } from '../../lib/errors.js';
import type { PackDirectory } from '../../lib/format/index-object.js';
import {
  CHUNK_ROW_BYTES,
  decodeDirectory,
  decodePackFooter,
  FRAME_ROW_BYTES,
  PACK_FOOTER_BYTES,
  PackClass,
} from '../../lib/format/pack.js';
import { backup } from '../../lib/ingest/backup.js';
import { certifyWriter, newWriterKey } from '../../lib/ledger/roles.js';
import { selectSnapshot } from '../../lib/ledger/select.js';
import { openDirectory, sealIndexObject } from '../../lib/repository/pack-directory.js';
import type { FinishedPack, PackWriterKeys } from '../../lib/repository/pack-writer.js';
import { locateRepository, openRepository, type Repository } from '../../lib/repository/repository.js';
import { restore } from '../../lib/restore/restore.js';
import { openDirectoryStore } from '../../lib/store/directory.js';
import { check } from '../../lib/verify/check.js';
import { chunksOf, forgePack, forgeSession, idOfName, keptBack, only, packNameOf } from '../helpers/attacker.js';
import { noise } from '../helpers/damaged-repository.js';
import { compareFiles, readFiles } from '../helpers/read-files.js';
import { startVaultRepository, type TestVaultRepository } from '../helpers/vault.js';

const SIZE = 30_000;
type Files = Record<string, Uint8Array>;

interface Scene {
  readonly made: TestVaultRepository;
  readonly source: string;
  readonly writer: Repository;
  /** Writes exactly these files and backs up. @returns the snapshot's id, hex */
  backup(files: Files, as?: Repository): Promise<string>;
  /** The packs of `class` of a kept back run. */
  wouldSend(files: Files): Promise<Map<string, Uint8Array>>;
  /** A reader that has never read before. */
  reader(): Promise<Repository>;
}

async function scene(t: Parameters<typeof startVaultRepository>[0]): Promise<Scene> {
  const made = await startVaultRepository(t);
  const source = join(made.folder, 'source');
  const writer = await made.open('writer', only.writer(made.keyring));
  let caches = 0;
  const place = (files: Files): void => {
    rmSync(source, { recursive: true, force: true });
    mkdirSync(source);
    for (const [name, bytes] of Object.entries(files)) writeFileSync(join(source, name), bytes);
  };
  const options = { paths: [source], host: 'h', label: 'l', threads: 1 };
  return {
    made,
    source,
    writer,
    async backup(files, as = writer) {
      place(files);
      return toHex((await backup(as, options)).snapshotId!);
    },
    async wouldSend(files) {
      place(files);
      return keptBack(writer, options);
    },
    async reader() {
      // On the directory itself: reading packs blocks this thread, in which the vault runs too.
      const place = await locateRepository(await openDirectoryStore(made.repositoryDir));
      return openRepository(place, only.reader(made.keyring), join(made.folder, `reader-${++caches}`));
    },
  };
}

/** Sends a pack, and an index object that says what its directory says. */
async function bring({ store, id, domainKeys }: Repository, keys: PackWriterKeys, pack: FinishedPack): Promise<void> {
  await store.put(packNameOf(pack), [pack.bytes]);
  const { packId, header, directory } = pack;
  const listed = { packId, packBytes: pack.bytes.byteLength, header, directory };
  const index = sealIndexObject({ id, domainKeys }, keys, [listed]);
  await store.put(`index/${toHex(index.id)}`, index.parts);
}

const isPack =
  (packClass: PackClass) =>
  ([name, bytes]: [string, Uint8Array]) =>
    name.startsWith('packs/') && bytes[88] === packClass;

const OLD: Files = { first: noise('first', SIZE), second: noise('second', SIZE) };
const PAYROLL = noise('payroll', SIZE);

t.test(
  'a pack whose directory names ids that are not its content spoils what is backed up later in its own domain, and nothing else',
  async (t) => {
    const { made, writer, backup: run, wouldSend, reader, source } = await scene(t);
    const before = await run(OLD);
    // The attacker knows what will be backed up tomorrow, and names its ids today.
    const [name, pack] = [...(await wouldSend({ payroll: PAYROLL }))].find(isPack(PackClass.data))!;
    const keys = await forgeSession(writer);
    const forged = forgePack(
      keys,
      chunksOf(writer, name, pack).map((chunk) => ({ ...chunk, bytes: noise('poison', chunk.length) })),
    );
    await bring(writer, keys, forged);

    const files = { ...OLD, payroll: PAYROLL };
    const after = await run(files);
    const found = await readFiles(await reader(), after);
    t.same(compareFiles(found, files), { wrong: [], lost: ['payroll'] }, 'never wrong bytes, and all the rest is right');
    t.type(found.get('payroll'), CorruptError);
    t.match((found.get('payroll') as Error).message, new RegExp(`${packNameOf(forged)}.*is not what its id says`));
    for (const shared of [false, true])
      t.same(
        compareFiles(await readFiles(await reader(), before, { shared }), OLD),
        { wrong: [], lost: [] },
        'what was there before is untouched',
      );

    const target = join(made.folder, 'restored');
    const laptop = await reader();
    const report = await restore(laptop, await selectSnapshot(laptop, after), { targetPath: target, threads: 1 });
    t.same(
      report.problems.map(({ path }) => Buffer.from(path).toString().split('/').at(-1)),
      ['payroll'],
      'restore says which file is lost',
    );
    const checked = await check(await reader(), { readData: true });
    t.same(
      [...new Set(checked.errors.flatMap(({ affects }) => affects.map((one) => `${one.snapshot} ${one.path}`)))],
      [`${after} ${source}/payroll`],
    );
    t.ok(
      checked.errors.every(({ object }) => object === packNameOf(forged)),
      'check names the pack',
    );

    const admin = await made.open('admin');
    const other = newWriterKey(admin);
    await certifyWriter(admin, other);
    const elsewhere = openRepository(
      { store: await openDirectoryStore(made.repositoryDir), id: admin.id, genesis: admin.genesis },
      other,
      join(made.folder, 'cache-other'),
    );
    const there = await run(files, elsewhere);
    t.same(
      compareFiles(await readFiles(await reader(), there), files),
      { wrong: [], lost: [] },
      'another domain has its own ids',
    );
  },
);

t.test(
  'a second copy of an id, with other bytes, is not read by earlier snapshots: they read the pack that they pin',
  async (t) => {
    const { writer, backup: run, wouldSend, reader } = await scene(t);
    const sent = await wouldSend(OLD);
    const before = await run(OLD);
    const keys = await forgeSession(writer);
    for (const packClass of [PackClass.data, PackClass.metadata]) {
      const [name, pack] = [...sent].find(isPack(packClass))!;
      const forged = forgePack(
        keys,
        chunksOf(writer, name, pack).map((chunk) => ({ ...chunk, bytes: noise('second copy', chunk.length) })),
        packClass,
      );
      await bring(writer, keys, forged);
    }
    for (const shared of [false, true])
      t.same(compareFiles(await readFiles(await reader(), before, { shared }), OLD), { wrong: [], lost: [] });
    const checked = await check(await reader(), { readData: true });
    t.same(
      checked.errors.flatMap(({ affects }) => affects),
      [],
      'no snapshot is touched',
    );
  },
);

/** An index object about packs that are there, whose directories were changed by `lie`. */
async function lyingIndex(
  writer: Repository,
  packs: readonly (readonly [string, Uint8Array])[],
  lie: (directory: Uint8Array, frames: number, header: Uint8Array) => void,
): Promise<string> {
  const listed: PackDirectory[] = packs.map(([name, bytes]) => {
    const { offset, length } = decodePackFooter(bytes.subarray(-PACK_FOOTER_BYTES), bytes.byteLength, name);
    const header = bytes.slice(0, 256);
    const directory = openDirectory(writer, header, bytes.subarray(offset, offset + length), offset, name).slice();
    lie(directory, viewOf(directory).getUint32(0, true), header);
    decodeDirectory(directory, offset, name);
    return { packId: idOfName(name), packBytes: bytes.byteLength, header, directory };
  });
  // An invented pack with many chunks beside them: the larger description is asked first.
  const keys = await forgeSession(writer);
  const many = Array.from({ length: 2000 }, (_, i) => ({ id: noise(`many ${i}`, 32), type: 1, bytes: noise(`b ${i}`, 8) }));
  const { packId, header, directory, bytes: invented } = forgePack(keys, many);
  listed.push({ packId, packBytes: invented.byteLength, header, directory });
  const { id, parts } = sealIndexObject(writer, keys, listed);
  await writer.store.put(`index/${toHex(id)}`, parts);
  return `index/${toHex(id)}`;
}

/** Changes the places of the first two ids of a directory; types and lengths stay, so that its frames still verify. */
function swapIds(directory: Uint8Array, frames: number): void {
  const at = 8 + frames * FRAME_ROW_BYTES;
  const [a, b] = [directory.slice(at, at + 32), directory.slice(at + CHUNK_ROW_BYTES, at + CHUNK_ROW_BYTES + 32)];
  directory.set(b, at);
  directory.set(a, at + CHUNK_ROW_BYTES);
}

/** Says that the second id is where the first is, and nothing of the first. */
function claimFirst(directory: Uint8Array, frames: number): void {
  const at = 8 + frames * FRAME_ROW_BYTES;
  directory.set(directory.slice(at + CHUNK_ROW_BYTES, at + CHUNK_ROW_BYTES + 32), at);
  directory.set(noise('no id', 32), at + CHUNK_ROW_BYTES);
}

/** Takes a byte off the first frame and its last chunk. */
function shorten(directory: Uint8Array, frames: number): void {
  const view = viewOf(directory);
  const rows = 8 + frames * FRAME_ROW_BYTES;
  const lengthAt = rows + (view.getUint32(8 + 12, true) - 1) * CHUNK_ROW_BYTES + 33;
  for (const at of [8 + 4, 8 + 8, lengthAt]) view.setUint32(at, view.getUint32(at, true) - 1, true);
}

for (const [what, lie] of [
  ['says each id of the other’s place', swapIds],
  ['says an id of another’s place, and nothing else', claimFirst],
  ['says other lengths', shorten],
  ['says another header', (_directory: Uint8Array, _frames: number, header: Uint8Array): void => void (header[210]! ^= 1)],
  ['says another sealed key', (_directory: Uint8Array, _frames: number, header: Uint8Array): void => void (header[100]! ^= 1)],
  ['says another session', (_directory: Uint8Array, _frames: number, header: Uint8Array): void => void (header[75]! ^= 1)],
] as const)
  t.test(`an index object that ${what} changes no byte and loses none: the packs themselves are asked`, async (t) => {
    const { writer, backup: run, reader, made } = await scene(t);
    // Both have one length, so that one can be put in the other's place.
    const before = await run(OLD);
    const packs: [string, Uint8Array][] = [];
    for await (const { name } of made.vault.guard.store.list('packs/'))
      packs.push([name, await made.vault.guard.store.get(name)]);
    const data = packs.filter(isPack(PackClass.data));
    const laptop = await reader();
    await readFiles(laptop, before);
    await lyingIndex(writer, data, lie);
    for (const [who, at] of [
      ['who knew the truth', laptop],
      ['who never read before', await reader()],
    ] as const)
      for (const shared of [false, true]) {
        const read = await readFiles(at, before, { shared, times: 2 });
        t.same(compareFiles(read, OLD), { wrong: [], lost: [] }, `${who}, ${shared ? 'as a mount reads' : 'as dump reads'}`);
      }
    const report = await restore(laptop, await selectSnapshot(laptop, before), {
      targetPath: join(made.folder, 'restored'),
      threads: 1,
    });
    t.same(report.problems, [], 'restored');
    const checked = await check(await reader(), { readData: true });
    t.same(
      checked.errors.flatMap(({ affects }) => affects),
      [],
      'check finds no file that is lost',
    );
    t.ok(checked.errors.length + checked.warnings.length > 0, 'and says that something is wrong');
  });
