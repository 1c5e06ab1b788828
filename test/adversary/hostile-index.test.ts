/**
 * Index objects that a writer's stolen key makes to stop readers: at every limit, beyond it, and against the rules. No vault can look inside, and each reader of the
 * repository takes up each index object. Every command of every host goes on, names the object, and asks the packs themselves; `check` blames that object alone.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { concat, toHex, viewOf } from '../../lib/bytes.js';
import { seal } from '../../lib/crypto/envelope.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { encodeIndexHeader, indexAad, type PackDirectory } from '../../lib/format/index-object.js';
import { ChunkType, encodeDirectory, encodePackHeader, MAX_FRAME_CHUNKS, MAX_FRAMES, PackClass } from '../../lib/format/pack.js';
import { backup } from '../../lib/ingest/backup.js';
import { certifyWriter, newWriterKey } from '../../lib/ledger/roles.js';
import { native } from '../../lib/native.js';
import { exportKeyFile } from '../../lib/repository/keys.js';
import { openIndex } from '../../lib/repository/open-index.js';
import { sealIndexObject } from '../../lib/repository/pack-directory.js';
import type { PackWriterKeys } from '../../lib/repository/pack-writer.js';
import { locateRepository, openRepository, type Repository } from '../../lib/repository/repository.js';
import { openDirectoryStore } from '../../lib/store/directory.js';
import { check } from '../../lib/verify/check.js';
import { type Ran, runner } from '../cli/program.js';
import { forgeSession, only } from '../helpers/attacker.js';
import { noise } from '../helpers/damaged-repository.js';
import { compareFiles, readFiles } from '../helpers/read-files.js';
import { startVaultRepository, type TestVaultRepository } from '../helpers/vault.js';
import { nodeAt, openView, snapshotNodes } from '../helpers/view.js';

t.setTimeout(600_000);

const row = (id: Uint8Array, type: number, length: number): Uint8Array => {
  const out = new Uint8Array(37);
  out.set(id);
  out[32] = type;
  viewOf(out).setUint32(33, length, true);
  return out;
};

let packs = 0;
/** A pack that is nowhere, as an index object lists it; `frames` are the chunks of each, one byte long. */
function invented(keys: PackWriterKeys, frames: readonly number[], type: number = ChunkType.data): PackDirectory {
  const packId = noise(`pack ${packs++}`, 32);
  let offset = 256;
  const rows: Uint8Array[] = [];
  const head = frames.map((chunkCount, frame) => {
    const ids = noise(`ids ${packs} ${frame}`, chunkCount * 32);
    for (let c = 0; c < chunkCount; c++) rows.push(row(ids.subarray(c * 32, c * 32 + 32), type, 1));
    const sealedBytes = chunkCount + 16;
    offset += sealedBytes;
    return { offset: offset - sealedBytes, sealedBytes, rawBytes: chunkCount, codec: 0, chunkCount };
  });
  const header = encodePackHeader({ ...keys, ...keys.sealed, packClass: PackClass.data, salt: noise(`salt ${packs}`, 32) });
  return { packId, packBytes: offset + 1000, header, directory: encodeDirectory(head, rows) };
}

interface Made {
  readonly name: string;
  readonly parts: readonly Uint8Array[];
}
function indexOf(writer: Repository, keys: PackWriterKeys, listed: readonly PackDirectory[]): Made {
  const { id, parts } = sealIndexObject(writer, keys, listed);
  return { name: `index/${toHex(id)}`, parts };
}
/** An index object with these bytes as its plaintext, or as the whole of it. */
function rawIndex(keys: PackWriterKeys, plaintext: Uint8Array, change: (object: Uint8Array) => void = () => undefined): Made {
  const header = encodeIndexHeader(keys);
  const bytes = concat(header, seal(keys.indexKey, indexAad(header), plaintext));
  change(bytes);
  return { name: `index/${toHex(sha256(bytes))}`, parts: [bytes] };
}

/** What breaks a rule, by what is wrong. */
function hostile(writer: Repository, keys: PackWriterKeys): Record<string, Made> {
  const one = invented(keys, [3, 3]);
  const changed = (change: (view: DataView, directory: Uint8Array) => void): Made => {
    const directory = one.directory.slice();
    change(viewOf(directory), directory);
    return indexOf(writer, keys, [{ ...one, packId: noise(`other ${packs++}`, 32), directory }]);
  };
  const header = one.header.slice();
  header[5] = 2;
  return {
    'a chunk too many in a frame': indexOf(writer, keys, [invented(keys, [MAX_FRAME_CHUNKS + 1])]),
    'a frame too many': indexOf(writer, keys, [invented(keys, new Array<number>(MAX_FRAMES + 1).fill(1))]),
    'a good pack beside one that is not': indexOf(writer, keys, [one, invented(keys, [MAX_FRAME_CHUNKS + 1])]),
    'a pack listed 2000 times': indexOf(writer, keys, new Array<PackDirectory>(2000).fill(one)),
    'chunks of another class': indexOf(writer, keys, [invented(keys, [2], ChunkType.treePage)]),
    'a type that is none': changed((_, directory) => directory.fill(5, 8 + 40 + 32, 8 + 40 + 33)),
    'a frame behind the end of its pack': changed((view) => view.setUint32(28, one.packBytes, true)),
    'a frame in the header': changed((view) => view.setUint32(8, 255, true)),
    'a frame above another': changed((view) => view.setUint32(28, 256, true)),
    'a sealed length that a raw frame cannot have': changed((view) => view.setUint32(12, 18, true)),
    'a codec that is none': changed((_, directory) => directory.fill(2, 24, 25)),
    'reserved bytes': changed((_, directory) => directory.fill(1, 27, 28)),
    'a chunk of no bytes': changed((view) => view.setUint32(8 + 40 + 33, 0, true)),
    'a chunk of 4 GiB': changed((view) => view.setUint32(8 + 40 + 33, 0xffffffff, true)),
    'a frame without chunks': changed((view) => view.setUint32(20, 0, true)),
    'more chunks than any object holds': changed((view) => view.setUint32(4, 0xffffffff, true)),
    'a pack header of a newer version': indexOf(writer, keys, [{ ...one, header }]),
    'four billion packs': rawIndex(keys, Uint8Array.of(255, 255, 255, 255)),
    'no plaintext': rawIndex(keys, new Uint8Array(0)),
    'noise for a body': rawIndex(keys, noise('body', 1000), (bytes) => void (bytes[200]! ^= 1)),
    'an unknown domain': rawIndex(
      { ...keys, domain: noise('domain', 16) },
      Uint8Array.of(0, 0, 0, 0),
      (bytes) => void (bytes[100]! ^= 1),
    ),
    'a newer version': rawIndex(keys, Uint8Array.of(0, 0, 0, 0), (bytes) => void (bytes[5] = 2)),
  };
}

/** All that is right, at the limits. */
function extreme(writer: Repository, keys: PackWriterKeys): Made[] {
  return [
    indexOf(writer, keys, [invented(keys, [MAX_FRAME_CHUNKS])]),
    indexOf(writer, keys, [invented(keys, new Array<number>(MAX_FRAMES).fill(1))]),
    indexOf(writer, keys, [invented(keys, [])]),
    rawIndex(keys, Uint8Array.of(0, 0, 0, 0)),
  ];
}

interface Scene {
  readonly made: TestVaultRepository;
  readonly source: string;
  /** The attacker's connection. */
  readonly writer: Repository;
  readonly attacked: Repository;
  readonly other: Repository;
  run(repository: Repository, host: string, onDamaged?: (message: string) => void): Promise<string>;
  /** Runs the program with a cache that is empty. */
  program(): (args: readonly string[]) => Ran;
  reader(): Promise<Repository>;
}

const FILES = { first: noise('first', 30_000), second: noise('second', 30_000) };

async function scene(t: Test): Promise<Scene> {
  const made = await startVaultRepository(t);
  const source = join(made.folder, 'source');
  mkdirSync(source);
  for (const [name, bytes] of Object.entries(FILES)) writeFileSync(join(source, name), bytes);
  // The vault takes what the attacker sends. All others are on the directory itself: reading packs blocks this thread, in which the vault runs too.
  const writer = await made.open('writer', only.writer(made.keyring));
  const direct = await locateRepository(await openDirectoryStore(made.repositoryDir));
  const attacked = openRepository(direct, only.writer(made.keyring), join(made.folder, 'cache-attacked'));
  const admin = await made.open('admin');
  const key = newWriterKey(admin);
  await certifyWriter(admin, key);
  const other = openRepository(direct, key, join(made.folder, 'cache-other'));
  writeFileSync(join(made.folder, 'whole.key'), await exportKeyFile(made.keyring, undefined, { label: 'whole' }));
  let caches = 0;
  return {
    made,
    source,
    writer,
    attacked,
    other,
    async run(repository, host, onDamaged) {
      const told = onDamaged === undefined ? {} : { onDamaged: ({ message }: Error) => onDamaged(message) };
      const { snapshotId } = await backup(repository, { paths: [source], host, label: 'l', threads: 1, ...told });
      return toHex(snapshotId!);
    },
    program: () =>
      runner({
        VARVE_REPOSITORY: made.repositoryDir,
        VARVE_KEY_FILE: join(made.folder, 'whole.key'),
        VARVE_CACHE_DIR: join(made.folder, `program-${++caches}`),
        VARVE_STATE_DIR: join(made.folder, 'state'),
      }),
    async reader() {
      const place = await locateRepository(await openDirectoryStore(made.repositoryDir));
      return openRepository(place, only.reader(made.keyring), join(made.folder, `reader-${++caches}`));
    },
  };
}

t.test(
  'index objects that break a rule stop no command of any host, are named by each, and are all that check blames',
  async (t) => {
    const { made, writer, attacked, other, run, program, reader, source } = await scene(t);
    const before = { attacked: await run(attacked, 'attacked'), other: await run(other, 'other') };
    const keys = await forgeSession(attacked);
    const bad = hostile(attacked, keys);
    // The last of them the vault would not take; whoever has the storage would.
    for (const { name, parts } of Object.values(bad)) await made.vault.guard.store.put(name, parts);
    for (const { name, parts } of extreme(attacked, keys)) await writer.store.put(name, parts);
    const names = Object.values(bad)
      .map(({ name }) => name)
      .sort();
    const namedBy = (text: string): string[] =>
      text
        .split('\n')
        .flatMap((line) => /^varve: (?:.* )?(index\/[0-9a-f]{64})/.exec(line)?.[1] ?? [])
        .sort();

    const fresh = openRepository(other, other.keyring, join(made.folder, 'fresh'));
    // A backup of either host, and one with an empty cache.
    for (const [host, repository] of [
      ['attacked', attacked],
      ['other', other],
      ['other', fresh],
    ] as const) {
      writeFileSync(join(source, 'second'), FILES.second);
      const told: string[] = [];
      t.ok(await run(repository, host, (message) => told.push(message)), `${host} backs up`);
      const named = told.map((message) => message.slice(0, 70));
      t.equal(new Set(named).size, named.length, `${host} is told of each once`);
      // A writer's key opens its own domain's objects alone; what it cannot open it passes over without a word.
      const foreign = host === 'attacked' ? [bad['an unknown domain']!.name] : names;
      t.same(
        names.filter((name) => !named.includes(name) && !foreign.includes(name)),
        [],
        `${host} is told of all of its own`,
      );
    }
    for (const [host, id] of Object.entries(before)) {
      const target = join(made.folder, 'target');
      for (const args of [
        ['ls', id],
        ['find', 'first'],
        ['stats'],
        ['diff', before.attacked, before.other],
        ['dump', `${id}:${source}/first`],
        ['restore', `${id}:${source}`, '--target', target],
      ]) {
        const ran = program()(args);
        t.equal(ran.status, 0, `${host}: ${args.join(' ')}: ${ran.stderr.slice(0, 300)}`);
        t.same(namedBy(ran.stderr), names, `${args[0]} names each once`);
      }
      t.ok(readFileSync(join(target, 'first')).equals(FILES.first));
      rmSync(target, { recursive: true });
      t.same(compareFiles(await readFiles(await reader(), id), FILES), { wrong: [], lost: [] });
      const laptop = await reader();
      const view = await openView(t, laptop);
      for (const snapshot of snapshotNodes(view)) {
        const into = new Uint8Array(FILES.first.byteLength);
        const node = nodeAt(view, snapshot, `${source}/first`);
        t.equal(view.read(node, 0, into), into.byteLength);
        t.ok(Buffer.from(into).equals(FILES.first), 'a mount reads on');
      }
    }
    for (const readData of [false, true]) {
      const { errors } = await check(await reader(), { readData });
      t.same(errors.map(({ object }) => object).sort(), names, 'check names each, and nothing else');
      t.same(
        errors.flatMap(({ affects }) => affects),
        [],
        'and no file',
      );
    }
    t.equal(program()(['check']).status, 15);
  },
);

/** Two ids' places swapped, and another id changed so that the checksum of the whole stays: CRC-32C is linear, so 32 bits of freedom are enough. */
function sameChecksum(directory: Uint8Array, lie: (directory: Uint8Array) => void, freeAt: number): Uint8Array {
  const out = directory.slice();
  lie(out);
  const wanted = native().crc32c(directory);
  const crc = (bits: number): number => {
    viewOf(out).setUint32(freeAt, bits, true);
    return native().crc32c(out);
  };
  const base = crc(0);
  // Gaussian elimination over GF(2): which of the 32 bits to set.
  const rows: [number, number][] = Array.from({ length: 32 }, (_, bit) => [
    (crc((1 << bit) >>> 0) ^ base) >>> 0,
    (1 << bit) >>> 0,
  ]);
  let goal = (wanted ^ base) >>> 0;
  let chosen = 0;
  for (let bit = 31; bit >= 0; bit--) {
    const at = rows.findIndex(([value]) => Math.clz32(value) === 31 - bit);
    if (at < 0) continue;
    const [[value, mask]] = rows.splice(at, 1) as [[number, number]];
    for (const other of rows)
      if ((other[0] >>> bit) & 1) {
        other[0] = (other[0] ^ value) >>> 0;
        other[1] = (other[1] ^ mask) >>> 0;
      }
    if ((goal >>> bit) & 1) {
      goal = (goal ^ value) >>> 0;
      chosen = (chosen ^ mask) >>> 0;
    }
  }
  if (crc(chosen) !== wanted) throw new Error('no such bits');
  return out;
}

t.test('a lie about a pack with the checksums of the truth hides nothing, whichever is taken up first', async (t) => {
  const { writer, attacked, run, reader, made } = await scene(t);
  const id = await run(attacked, 'attacked');
  const index = await openIndex(await reader(), { filter: false });
  const lies: PackDirectory[] = [];
  for (const { packIndex, packId } of index.packs()) {
    const header = index.header(packIndex);
    const directory = index.directory(packIndex);
    const frames = viewOf(directory).getUint32(0, true);
    const first = 8 + 20 * frames;
    // The first id is another's; where there is a second chunk, its id is the free one.
    const chunks = viewOf(directory).getUint32(4, true);
    const lie = (bytes: Uint8Array): void => {
      for (let c = 0; c < chunks; c++) bytes.set(noise(`lie ${c}`, 16), first + 37 * c);
    };
    const packBytes = (await made.vault.guard.store.stat(`packs/${toHex(packId).slice(0, 2)}/${toHex(packId)}`))!.sizeBytes;
    lies.push({ packId, packBytes, header, directory: sameChecksum(directory, lie, first + 20) });
  }
  await index.close();
  const keys = await forgeSession(attacked);
  const honest: string[] = [];
  for await (const { name } of made.vault.guard.store.list('index/')) honest.push(name);
  // Names are hashes, and objects are taken up in their order: one lie before the truth, one behind.
  for (const isFirst of [true, false]) {
    for (;;) {
      const { name, parts } = indexOf(attacked, keys, lies);
      if (name < honest[0]! !== isFirst) continue;
      await writer.store.put(name, parts);
      break;
    }
    t.same(compareFiles(await readFiles(await reader(), id), FILES), { wrong: [], lost: [] });
  }
});
