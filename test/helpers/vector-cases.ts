/**
 * The values behind test/vectors/format.json: one case for every kind of object and record of docs/format.md, made of fixed keys and fixed bytes. `make` builds
 * the bytes, `decode` reads them, `encode` writes what was read. Cases may be added; those that are there never change, nor do their vectors.
 */
import { createCipheriv } from 'node:crypto';
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { concat, EMPTY, fromHex, utf8 } from '../../lib/bytes.js';
import { chunkId } from '../../lib/crypto/chunk-id.js';
import { hkdf, hmac, sha256 } from '../../lib/crypto/kdf.js';
import { domainKeys, domainSecret, readerPrivateKey, x25519Public } from '../../lib/crypto/roles.js';
import { packKey } from '../../lib/crypto/session.js';
import { authorOf, publicKeyOf, sign } from '../../lib/crypto/sign.js';
import { CborReader, CborWriter } from '../../lib/format/cbor.js';
import { checkRows, encodeRows } from '../../lib/format/content.js';
import * as entry from '../../lib/format/entry.js';
import { decodeGenesis, encodeGenesis, GENESIS_LABEL, type Genesis } from '../../lib/format/genesis.js';
import * as index from '../../lib/format/index-object.js';
import * as slot from '../../lib/format/key-slot.js';
import * as manifest from '../../lib/format/manifest.js';
import * as pack from '../../lib/format/pack.js';
import * as pages from '../../lib/format/page.js';
import { Kind, withLength } from '../../lib/format/preamble.js';
import * as tree from '../../lib/format/tree.js';
import { READER_ROTATION_LABEL, readerRotationMessage } from '../../lib/ledger/authority.js';

/** Fixed bytes that look random. */
export function bytesOf(label: string, length = 32): Uint8Array {
  return hkdf(utf8(label), utf8('varve test vectors'), 'bytes', EMPTY, length);
}

/** Every secret that the vectors are made with. */
export const keys = {
  salt: bytesOf('salt'),
  root: bytesOf('root'),
  adminSeed: bytesOf('admin'),
  writerSeed: bytesOf('writer'),
  vaultSeed: bytesOf('vault seed'),
  domain: bytesOf('domain', 16),
  session: bytesOf('session', 16),
  sessionKey: bytesOf('session key'),
  packSalt: bytesOf('pack salt'),
  passphrase: 'correct horse — Ünïcödé',
};
export const domainSecretBytes = domainSecret(keys.root, keys.salt, keys.domain);
export const domain = domainKeys(domainSecretBytes, keys.salt, keys.domain);
export const writer = authorOf(publicKeyOf(keys.writerSeed));
const admin = authorOf(publicKeyOf(keys.adminSeed));
const time = { sec: 1_772_323_200, nsec: 123_456_789 };
const longAgo = { sec: -86_400_000, nsec: 999_999_999 };

/** Seal of docs/format.md §2 with a nonce that follows from what is sealed, which only vectors may do. */
export function sealFixed(key: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const nonce = hmac(key, aad, plaintext).slice(0, 24);
  return concat(nonce, xchacha20poly1305(key, nonce, aad).encrypt(plaintext));
}

export const genesis: Genesis = {
  salt: keys.salt,
  created: time,
  admins: [publicKeyOf(keys.adminSeed)],
  threshold: 1,
  readerKey: x25519Public(readerPrivateKey(keys.root, keys.salt)),
  vault: null,
};
const signed = (seed: Uint8Array, label: string, bytes: Uint8Array): Uint8Array => concat(bytes, sign(seed, label, bytes));
const genesisBytes = signed(keys.adminSeed, GENESIS_LABEL, encodeGenesis(genesis));
export const repository = sha256(genesisBytes);
export const ids = { repository, writer, domain: keys.domain, session: keys.session };

const writerKeys = { seed: keys.writerSeed, domain: keys.domain, domainSecret: domainSecretBytes };
export const keyring: slot.Keyring = { repository, root: keys.root, adminSeed: keys.adminSeed, writer: writerKeys };

/** Sealed session key of the vectors; made once, because HPKE draws a key of its own. Opens to keys.sessionKey. */
export const sealedKey = {
  enc: fromHex('c1a09aa2dbc4479ce452582bcd3889c21f59b6610419cdd3105173880ee94103'),
  ct: fromHex('9f84530af5b8e777f44adc01a6148a3a0e93cf58f1307351a2cd4b9f2d9208ad25e9840a787489a3dbea141f8e24d505'),
  commitment: hkdf(keys.sessionKey, keys.session, 'varve v1 commitment'),
};

const packHeader: pack.PackHeader = { ...ids, ...sealedKey, packClass: pack.PackClass.data, salt: keys.packSalt };
const headerBytes = pack.encodePackHeader(packHeader);
export const chunks = [utf8('the first chunk'), utf8('the second, in the same frame'), bytesOf('third', 600)];
const row = (chunk: Uint8Array): Uint8Array => {
  const tail = new Uint8Array(5);
  tail[0] = pack.ChunkType.data;
  new DataView(tail.buffer).setUint32(1, chunk.byteLength, true);
  return concat(chunkId(domain.chunkId, pack.ChunkType.data, chunk), tail);
};
// One zstd frame of the first two chunks, as raw blocks: any encoder's output is fine, and this one is fixed.
const zstdOf = (raw: Uint8Array): Uint8Array => {
  const head = (raw.byteLength << 3) | 1;
  return concat(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x20, raw.byteLength, head & 255, (head >> 8) & 255, head >> 16), raw);
};
const frameParts = [
  { raw: concat(chunks[0]!, chunks[1]!), rows: concat(row(chunks[0]!), row(chunks[1]!)), codec: 1 },
  { raw: chunks[2]!, rows: row(chunks[2]!), codec: 0 },
];
const aads = frameParts.map(({ raw, rows, codec }, n) => pack.frameAad(sha256(headerBytes), n, codec, raw.byteLength, rows));
const sealedFrames = frameParts.map(({ raw, codec }, n) => {
  const plaintext = codec === 1 ? zstdOf(raw) : raw;
  const nonce = new Uint8Array(12);
  nonce[0] = n;
  const cipher = createCipheriv('chacha20-poly1305', packKey(keys.sessionKey, keys.packSalt), nonce, { authTagLength: 16 });
  cipher.setAAD(aads[n]!, { plaintextLength: plaintext.byteLength });
  const body = cipher.update(plaintext);
  cipher.final();
  return concat(body, cipher.getAuthTag());
});
const frames = sealedFrames.map((sealed, n) => ({
  offset: 256 + (n === 0 ? 0 : sealedFrames[0]!.byteLength),
  sealedBytes: sealed.byteLength,
  rawBytes: frameParts[n]!.raw.byteLength,
  codec: frameParts[n]!.codec,
  chunkCount: frameParts[n]!.rows.byteLength / 37,
}));
const directory = pack.encodeDirectory(
  frames,
  frameParts.map(({ rows }) => rows),
);
const frameEnd = 256 + sealedFrames[0]!.byteLength + sealedFrames[1]!.byteLength;
const sealedDirectory = sealFixed(domain.index, pack.directoryAad(headerBytes), concat(directory, new Uint8Array(21)));
const footer = pack.encodePackFooter(sealedKey, frameEnd, sealedDirectory.byteLength);
export const packBytes = concat(headerBytes, ...sealedFrames, sealedDirectory, footer);

const indexed: index.PackDirectory[] = [
  { packId: sha256(packBytes), packBytes: packBytes.byteLength, header: headerBytes, directory },
];
const indexHead = index.encodeIndexHeader(ids);

const root: tree.Owner = { uid: 0, gid: 0, user: 'root', group: 'root' };
const nobody: tree.Owner = { uid: 4294967295, gid: 65534, user: null, group: 'nögroup' };
const common = {
  mode: 0o644,
  owner: root,
  mtimeSec: 1_772_323_200,
  mtimeNsec: 1,
  btimeSec: null,
  btimeNsec: 0,
  xattrs: [],
  link: null,
};
const named = (name: string | Uint8Array) => ({ ...common, name: typeof name === 'string' ? utf8(name) : name });
const chunk = (label: string): Uint8Array => bytesOf(label);
const rowsOf = (...list: [number, string | undefined][]): Uint8Array =>
  encodeRows(list.map(([length, label]) => ({ length, id: label === undefined ? undefined : chunk(label) })));
const twelveTera = 12 * 2 ** 40;
/** Every kind of entry and every form of content, in order of name. */
export const entries: tree.Entry[] = [
  { ...named('a-empty'), kind: 1, sizeBytes: 0, digest: sha256(), content: { kind: 'empty' } },
  {
    ...named('b-inline'),
    kind: 1,
    sizeBytes: 5,
    digest: sha256(utf8('hello')),
    content: { kind: 'inline', bytes: utf8('hello') },
  },
  { ...named('c-whole'), mode: 0o7777, kind: 1, sizeBytes: 70_000, digest: chunk('whole'), content: { kind: 'whole' } },
  {
    ...named('d-rows'),
    kind: 1,
    sizeBytes: 2_097_152 + 1_000_000_000_000 + 7,
    digest: chunk('rows'),
    content: { kind: 'rows', depth: 0, rows: rowsOf([2_097_152, 'r1'], [1_000_000_000_000, undefined], [7, 'r2']) },
  },
  {
    ...named('e-lists'),
    kind: 1,
    sizeBytes: twelveTera + 1,
    digest: null,
    content: { kind: 'rows', depth: 4, rows: rowsOf([twelveTera, 'l1'], [1, 'l2']) },
  },
  {
    ...named('f-directory'),
    kind: 2,
    mode: 0o755,
    owner: nobody,
    mtimeSec: longAgo.sec,
    mtimeNsec: longAgo.nsec,
    btimeSec: -1,
    btimeNsec: 999_999_999,
    tree: chunk('tree'),
    totals: { files: 3, directories: 1, bytes: Number.MAX_SAFE_INTEGER },
  },
  { ...named('g-symlink'), kind: 3, mode: 0o777, target: Uint8Array.of(0x2e, 0x2e, 0x2f, 0xff, 0xfe) },
  { ...named('h-fifo'), kind: 4 },
  { ...named('i-socket'), kind: 5 },
  { ...named('j-character'), kind: 6, major: 1, minor: 4294967295 },
  { ...named('k-block'), kind: 7, owner: nobody, major: 259, minor: 0 },
  {
    ...named('l-image'),
    kind: 8,
    sizeBytes: 1,
    digest: chunk('image'),
    content: { kind: 'rows', depth: 0, rows: rowsOf([1, undefined]) },
  },
  {
    ...named('m-linked'),
    kind: 1,
    link: { id: bytesOf('link', 16), nlink: 2 },
    xattrs: [
      { name: utf8('security.capability'), value: EMPTY },
      { name: utf8('user.long'), value: { lengthBytes: 4097, id: chunk('attribute') } },
      { name: utf8('user.short'), value: utf8('v') },
    ],
    sizeBytes: 0,
    digest: sha256(),
    content: { kind: 'empty' },
  },
  { ...named(Uint8Array.of(0xff, 0x0a, 0x80)), kind: 4 },
];

/** The page of `list`, its owners in order of first use. */
export function leafOf(list: readonly tree.Entry[]): Uint8Array {
  const owners: tree.Owner[] = [];
  const known = new Map<string, number>();
  const out = new CborWriter();
  for (const one of list) {
    const key = JSON.stringify(one.owner);
    if (!known.has(key)) known.set(key, owners.push(one.owner) - 1);
    tree.writeEntry(out, one, known.get(key)!);
  }
  return pages.encodeLeaf(owners, list.length, out.finish());
}

const encodePage = (page: pages.Page): Uint8Array =>
  'rows' in page ? pages.encodeInner(page.level, page.rows) : leafOf(page.entries);

const rows: pages.InnerRow[] = [
  { firstName: utf8('a'), id: chunk('page 1'), count: 64 },
  { firstName: utf8('a-'), id: chunk('page 2'), count: 4096 },
];

const envelope: manifest.Envelope = {
  ...ids,
  ...sealedKey,
  stream: bytesOf('stream', 16),
  started: time,
  finished: { sec: time.sec + 60, nsec: 0 },
  claimed: longAgo,
  state: manifest.State.complete,
  pins: { depth: 0, ids: concat(new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)) },
  pinCount: 2,
  pinBytes: 33_554_432,
  newBytes: 16_777_216,
  indexIds: [bytesOf('index id')],
};
const difference: manifest.Envelope = {
  ...envelope,
  state: manifest.State.partial,
  pins: { depth: 16, base: bytesOf('base'), removed: new Uint8Array(32).fill(1), added: new Uint8Array(32).fill(3) },
  indexIds: [],
};
const body: manifest.ManifestBody = {
  host: 'höst',
  label: 'home',
  paths: [utf8('/home'), concat(utf8('/srv/'), Uint8Array.of(0xff))],
  // U+FF5E comes before U+1F600 in UTF-8, after it in UTF-16.
  tags: ['daily', '～', '😀'],
  root: { ...common, name: EMPTY, kind: 2, mode: 0o755, tree: chunk('root'), totals: { files: 14, directories: 1, bytes: 5 } },
  problems: [{ path: utf8('/home/x'), code: 'EACCES' }],
  problemCount: 1,
  program: 'varve 0.1.0',
  notes: [['pre-hook', 'exit 0']],
};
const manifestKeyBytes = hkdf(keys.sessionKey, keys.session, 'varve v1 manifest');

const place = { repository, author: admin, sequence: 0, previous: new Uint8Array(32), time };
const byAdmin = (one: entry.LedgerEntry): Uint8Array => signed(keys.adminSeed, entry.ENTRY_LABEL, entry.encodeEntry(one));
const byWriter = (one: entry.LedgerEntry): Uint8Array => signed(keys.writerSeed, entry.ENTRY_LABEL, entry.encodeEntry(one));
const vault = authorOf(publicKeyOf(keys.vaultSeed));
const byVault = (one: entry.LedgerEntry): Uint8Array => signed(keys.vaultSeed, entry.ENTRY_LABEL, entry.encodeEntry(one));
/** Joined ids of objects called so, rising. */
const joined = (...labels: string[]): Uint8Array => concat(...labels.map((label) => bytesOf(label)).sort(Buffer.compare));
const change: entry.TagChange = { snapshots: [bytesOf('snapshot')], added: ['kept', 'ä'], removed: ['daily'] };
const mine = { ...place, author: writer, previous: bytesOf('previous') };
const auditor = authorOf(publicKeyOf(bytesOf('auditor seed')));
const byAuditor = (one: entry.LedgerEntry): Uint8Array =>
  signed(bytesOf('auditor seed'), entry.ENTRY_LABEL, entry.encodeEntry(one));
const ofAuditor = { ...place, author: auditor, sequence: 2, previous: bytesOf('previous') };
const scope = { hosts: ['web1', 'web1.*'], labels: [] };
const checked = {
  level: 2,
  first: new Uint8Array(32),
  last: new Uint8Array(32).fill(0x7f),
  coversSec: time.sec - 60,
  heads: bytesOf('heads'),
  startedSec: time.sec - 3600,
  packs: 123_456,
  bytes: 987_654_321_012,
};
const ofVault = { ...place, author: vault, sequence: 4, previous: bytesOf('previous') };
const prunable = { packs: joined('pack a', 'pack b', 'pack c'), snapshots: joined('manifest'), indexes: EMPTY };
const durations = { minimumSec: 3600, hourSec: 0, daySec: 1_209_600, weekSec: 0, monthSec: 0, yearSec: 315_576_000 };
/** An entry by the admin with a payload that no encoder of ours writes. */
export function entryOfPayload(type: number, write: (out: CborWriter) => unknown): Uint8Array {
  const out = new CborWriter().array(7).bytes(repository).bytes(admin).int(9).bytes(bytesOf('previous')).array(2).int(time.sec);
  write(out.int(0).int(type));
  return signed(keys.adminSeed, entry.ENTRY_LABEL, withLength(Kind.entry, out.finish()));
}
const unknownBody = new CborWriter()
  .array(7)
  .bytes(repository)
  .bytes(writer)
  .int(3)
  .bytes(bytesOf('previous'))
  .array(2)
  .int(time.sec)
  .int(0);
unknownBody.int(200).array(3).null().text('later').array(1).array(1).int(-1);

/** encode() is undefined where one decoded value does not make the bytes again (paddings, unknown types). */
export interface VectorCase {
  readonly make: () => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
  readonly encode: ((value: never, bytes: Uint8Array) => Uint8Array | undefined) | undefined;
}
const of = <T>(
  make: () => Uint8Array,
  decode: (bytes: Uint8Array) => T,
  encode?: (value: T, bytes: Uint8Array) => Uint8Array | undefined,
): VectorCase => ({
  make,
  decode,
  encode,
});
type Signed = { signature: Uint8Array };
const ofEntry = (make: () => Uint8Array): VectorCase =>
  of(
    make,
    (bytes) => entry.decodeEntry(bytes, 'vector'),
    (value) => ('reserved' in value.entry.payload ? undefined : concat(entry.encodeEntry(value.entry), value.signature)),
  );
const ofKeyring = (value: slot.Keyring): VectorCase =>
  of(
    () => slot.encodeKeyring(value),
    (bytes) => slot.decodeKeyring(bytes, 'vector'),
    slot.encodeKeyring,
  );
const ofPage = (page: pages.Page): VectorCase =>
  of(
    () => encodePage(page),
    (bytes) => pages.decodePage(bytes, 'vector'),
    encodePage,
  );
const ofSlot = (kind: typeof Kind.keySlot | typeof Kind.keyFile, make: () => Uint8Array): VectorCase =>
  of(
    make,
    (bytes) => slot.decodeSlot(bytes, kind, 'vector'),
    ({ header, content }) => concat(slot.encodeSlotHeader(header, kind), content),
  );
const slotHeader = (log2N: number): slot.SlotHeader => ({
  id: bytesOf('slot', 8),
  kdf: 1,
  log2N,
  r: 8,
  p: 1,
  salt: bytesOf('slot salt'),
  // scrypt(passphrase, slot salt, 2^4, 8, 1), so that this table needs no derivation
  commitment: hkdf(slotKek, bytesOf('slot salt'), 'varve v1 slot commitment'),
  createdSec: time.sec,
  label: 'täst@host',
});
const slotKek = fromHex('8c7f29b46b2512e41da538f015521cc535c171fbe2cf2e1a7177f2bb71d4da02');
const slotBytes = (kind: typeof Kind.keySlot | typeof Kind.keyFile, changes: Partial<slot.SlotHeader> = {}): Uint8Array => {
  const head = slot.encodeSlotHeader({ ...slotHeader(4), ...changes }, kind);
  const key = hkdf(slotKek, bytesOf('slot salt'), 'varve v1 slot key');
  return concat(head, sealFixed(key, concat(utf8('varve v1 slot'), repository, sha256(head)), slot.encodeKeyring(keyring)));
};
const clearHeader = (content: Uint8Array): slot.SlotHeader => ({
  ...slotHeader(0),
  kdf: 0,
  r: 0,
  p: 0,
  salt: new Uint8Array(32),
  commitment: sha256(content),
});
const clearFile = (): Uint8Array =>
  concat(slot.encodeSlotHeader(clearHeader(slot.encodeKeyring(keyring)), Kind.keyFile), slot.encodeKeyring(keyring));

export const cases: Readonly<Record<string, VectorCase>> = {
  genesis: of(
    () => genesisBytes,
    (bytes) => decodeGenesis(bytes),
    (value: { genesis: Genesis } & Signed) => concat(encodeGenesis(value.genesis), value.signature),
  ),
  'genesis with two admins and a vault': of(
    () =>
      signed(
        keys.adminSeed,
        GENESIS_LABEL,
        encodeGenesis({
          ...genesis,
          admins: [...genesis.admins, publicKeyOf(keys.writerSeed)],
          vault: publicKeyOf(bytesOf('vault')),
        }),
      ),
    (bytes) => decodeGenesis(bytes),
    (value: { genesis: Genesis } & Signed) => concat(encodeGenesis(value.genesis), value.signature),
  ),
  'keyring of every role': ofKeyring(keyring),
  'keyring of a reader': ofKeyring({ ...keyring, adminSeed: null, writer: null }),
  'keyring of a reader after two rotations': ofKeyring({
    ...keyring,
    adminSeed: null,
    writer: null,
    readers: [bytesOf('next reader'), bytesOf('last reader')],
  }),
  'keyring of an admin': ofKeyring({ ...keyring, root: null, writer: null }),
  'keyring of a writer': ofKeyring({ ...keyring, adminSeed: null, root: null }),
  'key slot': ofSlot(Kind.keySlot, () => slotBytes(Kind.keySlot)),
  'key slot made before 1970': ofSlot(Kind.keySlot, () => slotBytes(Kind.keySlot, { createdSec: -1 })),
  'key file with a passphrase': ofSlot(Kind.keyFile, () => slotBytes(Kind.keyFile)),
  'key file without a passphrase': ofSlot(Kind.keyFile, clearFile),
  'key file text': of(
    () => slot.encodeKeyFileText(clearFile()),
    (bytes) => slot.decodeKeyFileText(bytes, 'vector'),
    undefined,
  ),
  'pack header': of(
    () => headerBytes,
    (bytes) => pack.decodePackHeader(bytes, 'vector'),
    // A header may be read with what follows it.
    (value, bytes) => concat(pack.encodePackHeader(value), bytes.subarray(pack.PACK_HEADER_BYTES)),
  ),
  'pack directory': of(
    () => directory,
    (bytes) => pack.decodeDirectory(bytes, frameEnd, 'vector'),
    (value, bytes) =>
      concat(
        pack.encodeDirectory(value.frames, [value.chunkRows]),
        new Uint8Array(bytes.byteLength - 8 - value.frames.length * 20 - value.chunkRows.byteLength),
      ),
  ),
  'pack footer': of(
    () => footer,
    (bytes) => pack.decodePackFooter(bytes, packBytes.byteLength, 'vector'),
    (value) => pack.encodePackFooter({ ...value, commitment: EMPTY }, value.offset, value.length),
  ),
  'associated data of a frame': of(
    () => aads[0]!,
    (bytes) => bytes,
    undefined,
  ),
  pack: of(
    () => packBytes,
    (bytes) => pack.decodePackHeader(bytes, 'vector'),
    undefined,
  ),
  'index contents': of(
    () => concat(...index.encodeIndexBody(indexed)),
    (bytes) => index.decodeIndexBody(bytes, 'vector'),
    (packs) => concat(...index.encodeIndexBody(packs)),
  ),
  'index object': of(
    () => concat(indexHead, sealFixed(domain.index, index.indexAad(indexHead), concat(...index.encodeIndexBody(indexed)))),
    (bytes) => index.decodeIndexHeader(bytes, 'vector'),
    (value, bytes) => concat(index.encodeIndexHeader(value), bytes.subarray(index.INDEX_HEADER_BYTES)),
  ),
  'empty leaf': ofPage({ level: 0, entries: [] }),
  'leaf of every kind of entry and content': ofPage({ level: 0, entries }),
  'inner page': ofPage({ level: 1, rows }),
  'inner page of the highest level': ofPage({ level: 8, rows: rows.slice(0, 1) }),
  'list page': of(
    () => rowsOf([2_097_152, 'r1'], [1_000_000_000_000, undefined], [7, 'r2']),
    (bytes) => ({ sum: checkRows(bytes, 0, 'vector'), bytes }),
    ({ bytes }) => bytes,
  ),
  'manifest envelope with all pins': of(
    () => manifest.encodeEnvelope(envelope),
    (bytes) => manifest.decodeEnvelope(bytes, 'vector'),
    (value) => concat(manifest.encodeEnvelope(value.envelope), value.sealed),
  ),
  'manifest envelope with a difference': of(
    () => manifest.encodeEnvelope(difference),
    (bytes) => manifest.decodeEnvelope(bytes, 'vector'),
    (value) => concat(manifest.encodeEnvelope(value.envelope), value.sealed),
  ),
  'manifest body': of(
    () => manifest.encodeManifestBody(body),
    (bytes) => manifest.decodeManifestBody(bytes, 'vector'),
    manifest.encodeManifestBody,
  ),
  manifest: of(
    () => {
      const head = manifest.encodeEnvelope(envelope);
      return concat(head, sealFixed(manifestKeyBytes, manifest.manifestAad(sha256(head)), manifest.encodeManifestBody(body)));
    },
    (bytes) => manifest.decodeEnvelope(bytes, 'vector'),
    (value) => concat(manifest.encodeEnvelope(value.envelope), value.sealed),
  ),
  'stream name': of(
    () => manifest.encodeStreamName('höst', 'home'),
    (bytes) => new CborReader(bytes, 'vector').array(2),
    undefined,
  ),
  'entry: genesis': ofEntry(() => byAdmin({ ...place, payload: { type: 1 } })),
  'entry: writer-cert': ofEntry(() =>
    byAdmin({ ...place, sequence: 1, payload: { type: 2, publicKey: publicKeyOf(keys.writerSeed), domain: keys.domain } }),
  ),
  'entry: policy': ofEntry(() =>
    byAdmin({
      ...place,
      sequence: 2,
      payload: {
        type: 4,
        minimumSec: 86_400,
        hourSec: 172_800,
        daySec: 0,
        weekSec: 4_838_400,
        monthSec: 31_622_400,
        yearSec: 5_000_000_000,
      },
    }),
  ),
  'entry: snapshot': ofEntry(() =>
    byWriter({
      ...mine,
      sequence: 1,
      payload: {
        type: 5,
        manifest: bytesOf('manifest'),
        stream: bytesOf('stream', 16),
        state: 1,
        retainUntilSec: 1_803_859_200,
        slots: 31,
      },
    }),
  ),
  'entry: tags': ofEntry(() => {
    const sealed = sealFixed(domain.tags, entry.tagsAad(repository, writer, 2), entry.encodeTagChange(change));
    return byWriter({ ...mine, sequence: 2, payload: { type: 18, domain: keys.domain, sealed } });
  }),
  'entry: retire': ofEntry(() =>
    byAdmin({
      ...place,
      sequence: 3,
      payload: { type: 3, author: writer, count: 7, head: bytesOf('head'), reason: 'Rechner gestohlen – übel' },
    }),
  ),
  'entry: retire before the first entry': ofEntry(() =>
    byAdmin({ ...place, sequence: 3, payload: { type: 3, author: writer, count: 0, head: new Uint8Array(32), reason: '' } }),
  ),
  'entry: policy with classes': ofEntry(() =>
    byAdmin({
      ...place,
      sequence: 4,
      payload: {
        type: 4,
        ...durations,
        terms: {
          waitSec: 259_200,
          longestSec: 315_576_000,
          autoPrune: true,
          dailyBytes: 2 ** 40,
          dailySnapshots: 48,
          classes: [
            { name: 'böoks', ...durations, hosts: ['db*'], labels: [], tags: ['books', 'tax-*'], expectSec: 86_400 },
            { name: 'scratch', ...durations, yearSec: 0, hosts: [], labels: ['/tmp'], tags: [], expectSec: 0 },
          ],
        },
      },
    }),
  ),
  'entry: policy with terms and no class': ofEntry(() =>
    byAdmin({
      ...place,
      sequence: 4,
      payload: {
        type: 4,
        ...durations,
        terms: { waitSec: 86_400, longestSec: 0, autoPrune: false, dailyBytes: 0, dailySnapshots: 0, classes: [] },
      },
    }),
  ),
  'entry: snapshot of a class': ofEntry(() =>
    byWriter({
      ...mine,
      sequence: 1,
      payload: {
        type: 5,
        manifest: bytesOf('manifest'),
        stream: bytesOf('stream', 16),
        state: 0,
        retainUntilSec: 0,
        slots: 2,
        class: 'böoks',
      },
    }),
  ),
  'entry: extend': ofEntry(() =>
    byAdmin({
      ...place,
      sequence: 5,
      payload: { type: 6, snapshots: joined('manifest', 'other'), untilSec: 1_900_000_000, reason: 'audit' },
    }),
  ),
  'entry: hold': ofEntry(() =>
    byAdmin({ ...place, sequence: 6, payload: { type: 7, snapshots: joined('manifest'), reason: 'court' } }),
  ),
  'entry: hold by a vault': ofEntry(() =>
    byVault({ ...ofVault, payload: { type: 7, snapshots: joined('manifest'), reason: '' } }),
  ),
  'entry: release': ofEntry(() =>
    byAdmin({ ...place, sequence: 7, payload: { type: 8, author: admin, sequence: 6, reason: 'settled' } }),
  ),
  'entry: receipt': ofEntry(() =>
    byVault({
      ...ofVault,
      payload: {
        type: 9,
        receipts: [
          { author: writer, sequence: 1, hash: bytesOf('entry hash'), retainUntilSec: 1_803_859_200, slots: 31 },
          { author: admin, sequence: 0, hash: bytesOf('genesis hash'), retainUntilSec: 0, slots: 0 },
        ],
      },
    }),
  ),
  'entry: prune-intent': ofEntry(() => byAdmin({ ...place, sequence: 8, payload: { type: 14, ...prunable } })),
  'entry: prune-done': ofEntry(() => byVault({ ...ofVault, payload: { type: 15, author: admin, sequence: 8, ...prunable } })),
  'entry: key-rotate of the admin': ofEntry(() =>
    byAdmin({ ...place, sequence: 9, payload: { type: 16, role: 0, publicKey: publicKeyOf(bytesOf('next admin')) } }),
  ),
  'entry: key-rotate of the reader': ofEntry(() =>
    byAdmin({ ...place, sequence: 9, payload: { type: 16, role: 1, publicKey: x25519Public(bytesOf('next reader')) } }),
  ),
  'entry: incident': ofEntry(() => byVault({ ...ofVault, payload: { type: 17, code: 'CLOCK', detail: 'sprang 10 Jahre' } })),
  'entry: cert of an admin': ofEntry(() =>
    byAdmin({ ...place, sequence: 9, payload: { type: 19, role: 0, publicKey: publicKeyOf(bytesOf('second admin')) } }),
  ),
  'entry: cert of a vault': ofEntry(() =>
    byAdmin({ ...place, sequence: 9, payload: { type: 19, role: 1, publicKey: publicKeyOf(keys.vaultSeed) } }),
  ),
  'entry: accept-fork': ofEntry(() =>
    byAdmin({
      ...place,
      sequence: 10,
      payload: {
        type: 20,
        heads: [
          { author: admin, count: 10, head: bytesOf('admin head') },
          { author: writer, count: 3, head: bytesOf('writer head') },
        ],
        reason: 'restored from the copy of 1 March',
      },
    }),
  ),
  'entry: a type of later versions': ofEntry(() =>
    signed(keys.writerSeed, entry.ENTRY_LABEL, withLength(Kind.entry, unknownBody.finish())),
  ),
  'entry: a type of later versions, 32 arrays in one another': ofEntry(() =>
    entryOfPayload(201, (out) => {
      for (let i = 2; i < 32; i++) out.array(1);
      out.array(0);
    }),
  ),
  'entry: writer-cert with a name and a scope': ofEntry(() =>
    byAdmin({
      ...place,
      sequence: 11,
      payload: {
        type: 2,
        publicKey: publicKeyOf(keys.writerSeed),
        domain: keys.domain,
        name: 'web1',
        sealed: sealFixed(domain.scope, entry.scopeAad(repository, writer, keys.domain), entry.encodeScope(scope)),
      },
    }),
  ),
  'entry: cert of an auditor, with a name': ofEntry(() =>
    byAdmin({
      ...place,
      sequence: 12,
      payload: { type: 19, role: 2, publicKey: publicKeyOf(bytesOf('auditor seed')), name: 'Prüferin' },
    }),
  ),
  'entry: key-rotate of the reader, signed by a reader': ofEntry(() => {
    const publicKey = x25519Public(bytesOf('next reader'));
    const signature = sign(bytesOf('reader seed'), READER_ROTATION_LABEL, readerRotationMessage(repository, publicKey));
    return byAdmin({ ...place, sequence: 13, payload: { type: 16, role: 1, publicKey, signature } });
  }),
  'entry: policy that lets a vault extend': ofEntry(() =>
    byAdmin({
      ...place,
      sequence: 14,
      payload: {
        type: 4,
        ...durations,
        terms: {
          waitSec: 259_200,
          longestSec: 34_560_000,
          autoPrune: false,
          dailyBytes: 1 << 30,
          dailySnapshots: 1000,
          classes: [],
          extensionSec: 2_592_000,
        },
      },
    }),
  ),
  'entry: extend by a vault': ofEntry(() =>
    byVault({ ...ofVault, payload: { type: 6, snapshots: joined('manifest'), untilSec: time.sec + 86_400, reason: 'suspect' } }),
  ),
  'entry: attest': ofEntry(() =>
    byAuditor({ ...ofAuditor, payload: { type: 10, snapshots: joined('manifest'), statement: 'restored and compared' } }),
  ),
  'entry: check': ofEntry(() =>
    byAuditor({ ...ofAuditor, payload: { type: 11, ...checked, badCount: 2, bad: joined('pack a', 'pack b') } }),
  ),
  'entry: check with more bad packs than it names': ofEntry(() =>
    byAuditor({
      ...ofAuditor,
      payload: { type: 11, ...checked, badCount: 17, bad: joined(...Array.from({ length: 16 }, (_, i) => `pack ${i}`)) },
    }),
  ),
  'entry: drill, announced': ofEntry(() =>
    byAuditor({
      ...ofAuditor,
      payload: { type: 12, phase: 0, drill: bytesOf('drill').subarray(16), snapshots: joined('manifest') },
    }),
  ),
  'entry: drill, failed': ofEntry(() =>
    byAuditor({
      ...ofAuditor,
      payload: {
        type: 12,
        phase: 1,
        drill: bytesOf('drill').subarray(16),
        snapshots: joined('manifest'),
        verdict: 1,
        record: bytesOf('record'),
      },
    }),
  ),
  'entry: copy': ofEntry(() =>
    byAuditor({
      ...ofAuditor,
      payload: {
        type: 13,
        direction: 0,
        other: bytesOf('other repository'),
        snapshots: joined('manifest', 'other'),
        heads: bytesOf('heads'),
        bytes: 123_456_789,
        level: 1,
      },
    }),
  ),
  'entry: slots': ofEntry(() =>
    byAdmin({
      ...place,
      sequence: 15,
      payload: {
        type: 21,
        added: [{ id: bytesOf('slot').subarray(24), label: 'root@büro', digest: bytesOf('slot object') }],
        removed: [bytesOf('old slot').subarray(24)],
      },
    }),
  ),
  'entry: retire-stream': ofEntry(() =>
    byAdmin({
      ...place,
      sequence: 16,
      payload: { type: 22, author: writer, stream: bytesOf('stream').subarray(16), reason: 'host is gone' },
    }),
  ),
  'entry: a time after the year 9999 changes nothing': ofEntry(() => {
    const late = new CborWriter().array(7).bytes(repository).bytes(admin).int(17).bytes(bytesOf('previous'));
    late.array(2).int(253_402_300_800).int(0).int(17).array(2).text('code').text('detail');
    return signed(keys.adminSeed, entry.ENTRY_LABEL, withLength(Kind.entry, late.finish()));
  }),
  'scope of a writer': of(
    () => entry.encodeScope(scope),
    (bytes) => entry.decodeScope(bytes, 'vector'),
    entry.encodeScope,
  ),
  'genesis with a key for rotations': of(
    () => signed(keys.adminSeed, GENESIS_LABEL, encodeGenesis({ ...genesis, readerSigner: publicKeyOf(bytesOf('reader seed')) })),
    (bytes) => decodeGenesis(bytes),
    (value: { genesis: Genesis } & Signed) => concat(encodeGenesis(value.genesis), value.signature),
  ),
  'keyring of an auditor': ofKeyring({ ...keyring, adminSeed: null, writer: null, auditorSeed: bytesOf('auditor seed') }),
  'keyring of an auditor after a rotation': ofKeyring({
    ...keyring,
    adminSeed: null,
    writer: null,
    readers: [bytesOf('next reader')],
    auditorSeed: bytesOf('auditor seed'),
  }),
  'tag change of tags in any order, one in both lists': of(
    () => entry.encodeTagChange({ ...change, added: ['b', 'a', 'b'], removed: ['z', 'a'] }),
    (bytes) => entry.decodeTagChange(bytes, 'vector'),
    entry.encodeTagChange,
  ),
  'tag change': of(
    () => entry.encodeTagChange(change),
    (bytes) => entry.decodeTagChange(bytes, 'vector'),
    entry.encodeTagChange,
  ),
};
