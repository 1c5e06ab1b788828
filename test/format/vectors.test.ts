/**
 * Golden vectors of every object and record (test/vectors/format.json): what is encoded today is what was encoded then, and stays readable. And what
 * becomes of the vectors when they are cut or bent: refused with an error of ours, or another value with exactly one encoding.
 * `VARVE_ADD_VECTORS=1` adds vectors for cases that have none; nothing replaces one.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { concat, equalBytes, fromHex, toHex, utf8 } from '../../lib/bytes.js';
import { chunkId } from '../../lib/crypto/chunk-id.js';
import { open } from '../../lib/crypto/envelope.js';
import { sha256 } from '../../lib/crypto/kdf.js';
import { readerPrivateKey } from '../../lib/crypto/roles.js';
import { manifestKey, packKey } from '../../lib/crypto/session.js';
import { sessionOpener } from '../../lib/crypto/session-open.js';
import { authorOf, publicKeyOf, verifySignature } from '../../lib/crypto/sign.js';
import { VarveError } from '../../lib/errors.js';
import { CborWriter } from '../../lib/format/cbor.js';
import { decodeEntry, decodeTagChange, ENTRY_LABEL, misplaced, tagsAad } from '../../lib/format/entry.js';
import { decodeGenesis, GENESIS_LABEL } from '../../lib/format/genesis.js';
import { decodeIndexBody, INDEX_HEADER_BYTES, indexAad } from '../../lib/format/index-object.js';
import { decodeKeyFileText, decodeKeyring, encodeKeyFileText, encodeKeyring } from '../../lib/format/key-slot.js';
import { decodeEnvelope, decodeManifestBody, encodeManifestBody, manifestAad } from '../../lib/format/manifest.js';
import * as pack from '../../lib/format/pack.js';
import { decodePage } from '../../lib/format/page.js';
import { Kind } from '../../lib/format/preamble.js';
import { native, packageRoot } from '../../lib/native.js';
import { openKeyring } from '../../lib/repository/keyring.js';
import {
  bytesOf,
  cases,
  chunks,
  domain,
  entries,
  entryOfPayload,
  ids,
  keyring,
  keys,
  leafOf,
  repository,
  sealedKey,
} from '../helpers/vector-cases.js';
import { openSessionKey } from '../reference/hpke.js';

// Hostile input is refused by throwing, a hundred thousand times here.
Error.stackTraceLimit = 0;
const file = join(packageRoot(), 'test', 'vectors', 'format.json');
const vectors = (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}) as Record<string, string>;
if (process.env.VARVE_ADD_VECTORS === '1') {
  for (const [name, one] of Object.entries(cases)) vectors[name] ??= toHex(one.make());
  writeFileSync(file, `${JSON.stringify(vectors, null, 1)}\n`);
}
const vector = (name: string): Uint8Array => fromHex(vectors[name] ?? '');
const kept = Object.keys(vectors);

t.test('there is a vector for every case, and a case for every vector', async (t) => {
  t.same(kept.slice().sort(), Object.keys(cases).sort(), 'vectors are added with VARVE_ADD_VECTORS=1 and never removed');
});

t.test('every case still encodes to its vector, and its vector decodes and encodes to itself', async (t) => {
  for (const name of kept) {
    const one = cases[name]!;
    const bytes = vector(name);
    t.equal(toHex(one.make()), toHex(bytes), `${name} encodes to its vector`);
    const again = one.encode?.(one.decode(bytes) as never, bytes);
    if (again !== undefined) t.equal(toHex(again), toHex(bytes), `${name} decodes and encodes to itself`);
  }
});

t.test('vectors hold the values they were made of', async (t) => {
  const page = decodePage(vector('leaf of every kind of entry and content'), 'vector');
  t.ok(page.level === 0 && 'entries' in page);
  if ('entries' in page) {
    // Byte strings come back as views, which compare as what they hold.
    const plain = (value: unknown): string =>
      JSON.stringify(value, (_, part) => (part instanceof Uint8Array ? toHex(part) : part));
    t.equal(page.entries.length, entries.length);
    page.entries.forEach((entry, i) => {
      t.equal(plain(sorted(entry)), plain(sorted(entries[i]!)));
    });
  }
  const { root, tags, problems, notes, host } = decodeManifestBody(vector('manifest body'), 'vector');
  t.same({ host, tags, notes }, { host: 'höst', tags: ['daily', '～', '😀'], notes: [['pre-hook', 'exit 0']] });
  t.equal(problems[0]!.code, 'EACCES');
  t.same(root.totals, { files: 14, directories: 1, bytes: 5 });
  const { envelope } = decodeEnvelope(vector('manifest envelope with a difference'), 'vector');
  t.equal(envelope.pins.depth, 16);
  t.same(envelope.claimed, { sec: -86_400_000, nsec: 999_999_999 });
});

function sorted(value: object): object {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

t.test('signatures, seals and keys of the vectors verify', async (t) => {
  const admin = publicKeyOf(keys.adminSeed);
  const writer = publicKeyOf(keys.writerSeed);
  const vault = publicKeyOf(keys.vaultSeed);
  const auditor = publicKeyOf(bytesOf('auditor seed'));
  const { signed, signature } = decodeGenesis(vector('genesis'));
  t.ok(verifySignature(admin, GENESIS_LABEL, signed, signature));
  t.notOk(verifySignature(writer, GENESIS_LABEL, signed, signature), 'by the admin only');
  t.notOk(verifySignature(admin, ENTRY_LABEL, signed, signature), 'under its own label only');
  t.same(sha256(vector('genesis')), repository);
  for (const name of kept.filter((one) => one.startsWith('entry: '))) {
    const { entry, signed, signature } = decodeEntry(vector(name), name);
    const by = {
      [toHex(authorOf(admin))]: 'admin',
      [toHex(authorOf(writer))]: 'writer',
      [toHex(authorOf(vault))]: 'vault',
      [toHex(authorOf(auditor))]: 'auditor',
    }[toHex(entry.author)] as 'admin' | 'writer' | 'vault' | 'auditor';
    t.ok(verifySignature({ admin, writer, vault, auditor }[by], ENTRY_LABEL, signed, signature), name);
    if (name.includes('changes nothing')) {
      t.type(misplaced(entry, new Set([by])), 'string', name);
      continue;
    }
    t.equal(
      misplaced(entry, new Set([by, ...(by === 'admin' && entry.sequence === 0 ? (['founder'] as const) : [])])),
      undefined,
    );
    // Anybody may write an entry of a type that is not known.
    if ('reserved' in entry.payload) continue;
    if (by === 'admin') t.type(misplaced(entry, new Set(['writer'])), 'string', `${name} by a writer is out of place`);
    if (by === 'admin' && !/hold|prune|extend/.test(name))
      t.type(misplaced(entry, new Set(['vault'])), 'string', `${name} by a vault is out of place`);
    if (/receipt/.test(name)) t.type(misplaced(entry, new Set(['admin'])), 'string', 'an admin gives no receipts');
  }
  const tags = decodeEntry(vector('entry: tags'), 'vector').entry;
  const plain = open(
    domain.tags,
    tagsAad(repository, tags.author, tags.sequence),
    'sealed' in tags.payload ? tags.payload.sealed : new Uint8Array(0),
  );
  t.same(decodeTagChange(plain!, 'vector').added, ['kept', 'ä']);

  const readerPrivate = readerPrivateKey(keys.root, keys.salt);
  const sessionKey = await openSessionKey(readerPrivate, domain, ids, sealedKey);
  t.same(sessionKey, keys.sessionKey, '@hpke/core opens the session key');
  t.same(sessionOpener([readerPrivate])(domain, ids, sealedKey), keys.sessionKey, 'lib opens it');
  const { head, sealed } = decodeEnvelope(vector('manifest'), 'vector');
  const body = open(manifestKey(keys.sessionKey, keys.session), manifestAad(sha256(head)), sealed);
  t.equal(toHex(encodeManifestBody(decodeManifestBody(body!, 'vector'))), toHex(vector('manifest body')));
  const index = vector('index object');
  const contents = open(domain.index, indexAad(index.subarray(0, INDEX_HEADER_BYTES)), index.subarray(INDEX_HEADER_BYTES));
  t.same(decodeIndexBody(contents!, 'vector')[0]!.packId, sha256(vector('pack')));

  for (const [name, kind] of [
    ['key slot', Kind.keySlot],
    ['key file with a passphrase', Kind.keyFile],
  ] as const) {
    const opened = await openKeyring(vector(name), kind, repository, keys.passphrase, name);
    t.equal(toHex(encodeKeyring(opened!)), toHex(encodeKeyring(keyring)), name);
    t.equal(await openKeyring(vector(name), kind, repository, `${keys.passphrase} `, name), undefined, 'a wrong passphrase');
  }
  const clear = decodeKeyFileText(vector('key file text'), 'vector');
  t.ok(equalBytes(clear, vector('key file without a passphrase')));
  t.equal(
    toHex(encodeKeyring((await openKeyring(clear, Kind.keyFile, repository, undefined, 'x'))!)),
    toHex(encodeKeyring(keyring)),
  );
});

t.test('a whole pack opens from its end: footer, directory, frames, chunks', async (t) => {
  const bytes = vector('pack');
  const header = bytes.slice(0, pack.PACK_HEADER_BYTES);
  const { salt } = pack.decodePackHeader(header, 'pack');
  const footer = pack.decodePackFooter(bytes.subarray(-pack.PACK_FOOTER_BYTES), bytes.byteLength, 'pack');
  const plain = open(domain.index, pack.directoryAad(header), bytes.subarray(footer.offset, footer.offset + footer.length));
  const directory = pack.decodeDirectory(plain!, footer.offset, 'pack');
  const found: Uint8Array[] = [];
  directory.frames.forEach((frame, n) => {
    const rows = pack.rowsOfFrame(directory, frame);
    const raw = new Uint8Array(frame.rawBytes);
    const aad = pack.frameAad(sha256(header), n, frame.codec, frame.rawBytes, rows);
    if (n === 0) t.equal(toHex(aad), vectors['associated data of a frame']);
    native().openFrame(
      bytes.slice(frame.offset, frame.offset + frame.sealedBytes),
      packKey(keys.sessionKey, salt),
      n,
      aad,
      frame.codec,
      raw,
      frame.rawBytes,
    );
    t.equal(native().verifyRows(domain.chunkId, raw, rows), -1, 'chunk ids fit');
    for (let at = 0, c = 0; c < frame.chunkCount; c++) {
      const length = new DataView(rows.buffer, rows.byteOffset).getUint32(c * pack.CHUNK_ROW_BYTES + 33, true);
      found.push(raw.slice(at, at + length));
      t.same(rows.slice(c * 37, c * 37 + 32), chunkId(domain.chunkId, pack.ChunkType.data, found.at(-1)!));
      at += length;
    }
  });
  t.same(found, chunks);
});

/** What a decoder makes of hostile bytes: nothing is wrong when it throws one of our errors, or when what it reads encodes to the same bytes. */
function wrong(name: string, bytes: Uint8Array): string | undefined {
  const one = cases[name]!;
  let value: unknown;
  try {
    value = one.decode(bytes);
  } catch (error) {
    return error instanceof VarveError ? undefined : `${name}: ${String(error)}`;
  }
  const again = one.encode?.(value as never, bytes);
  return again === undefined || equalBytes(again, bytes) ? undefined : `${name}: accepted but not canonical: ${toHex(bytes)}`;
}

t.test('every truncation, every flipped bit and every bit of a longer vector is refused or canonical', async (t) => {
  const problems: string[] = [];
  for (const name of kept) {
    const bytes = vector(name);
    for (let length = 0; length < bytes.byteLength; length++) problems.push(wrong(name, bytes.slice(0, length)) ?? '');
    for (const tail of [0, 1, 0xf6, 0xff]) problems.push(wrong(name, concat(bytes, Uint8Array.of(tail))) ?? '');
    const bent = bytes.slice();
    for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
      bent[bit >> 3]! ^= 1 << (bit & 7);
      problems.push(wrong(name, bent) ?? '');
      bent[bit >> 3]! ^= 1 << (bit & 7);
    }
  }
  t.same(problems.filter((problem) => problem !== '').slice(0, 5), []);
});

t.test('a signed or sealed object with one flipped bit or byte less never verifies', async (t) => {
  const admin = publicKeyOf(keys.adminSeed);
  const verifies = (bytes: Uint8Array): boolean => {
    try {
      const { signed, signature } = decodeGenesis(bytes);
      return verifySignature(admin, GENESIS_LABEL, signed, signature);
    } catch (error) {
      if (error instanceof VarveError) return false;
      throw error;
    }
  };
  const bytes = vector('genesis');
  t.ok(verifies(bytes));
  let accepted = 0;
  for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
    const bent = bytes.slice();
    bent[bit >> 3]! ^= 1 << (bit & 7);
    if (verifies(bent)) accepted++;
  }
  t.equal(accepted, 0);
});

t.test('a version or suite of another program is told apart from damage', async (t) => {
  for (const name of ['genesis', 'key slot', 'pack header', 'index object', 'manifest', 'entry: policy']) {
    const newer = vector(name);
    newer[5] = 2;
    t.throws(() => cases[name]!.decode(newer), { code: 'NEWER_FORMAT' }, name);
    for (const [at, value] of [
      [5, 0],
      [6, 2],
      [6, 0],
      [7, 1],
      [4, 9],
    ] as const) {
      const other = vector(name);
      other[at] = value;
      t.throws(() => cases[name]!.decode(other), { code: 'CORRUPT' }, `${name} with byte ${at} of ${value}`);
    }
    // Another suite may be of other kinds too: it is named first.
    const suite = vector(name);
    suite.set([9, 1, 3, 1], 4);
    t.throws(() => cases[name]!.decode(suite), { code: 'CORRUPT', message: /suite 3/ }, name);
  }
});

t.test('values that break a rule of the specification are refused', async (t) => {
  const leaf = (change: object): Uint8Array => leafOf([{ ...entries[1]!, ...change } as never]);
  const refused: Record<string, Uint8Array> = {
    'an empty name': leaf({ name: utf8('') }),
    'the name ..': leaf({ name: utf8('..') }),
    'a slash in a name': leaf({ name: utf8('a/b') }),
    'a NUL in a name': leaf({ name: utf8('a\0b') }),
    'a name of 256 bytes': leaf({ name: new Uint8Array(256).fill(97) }),
    'a file type in the mode': leaf({ mode: 0o100644 }),
    'a negative uid': leaf({ owner: { uid: -1, gid: 0, user: null, group: null } }),
    'a uid of 33 bits': leaf({ owner: { uid: 2 ** 32, gid: 0, user: null, group: null } }),
    'a second of a billion nanoseconds': leaf({ mtimeNsec: 1_000_000_000 }),
    'nlink 1': leaf({ link: { id: new Uint8Array(16), nlink: 1 } }),
    'inline content without a digest': leaf({ digest: null }),
    'inline content of another length': leaf({ sizeBytes: 6 }),
    'a size without content': leaf({ content: { kind: 'empty' } }),
    'a whole chunk without a digest': leaf({ content: { kind: 'whole' }, digest: null }),
    'a whole chunk of more than 2 MiB': leaf({ content: { kind: 'whole' }, sizeBytes: 2_097_153 }),
    'rows of depth 5': leaf({ content: { kind: 'rows', depth: 5, rows: new Uint8Array(40).fill(1) } }),
    'no rows': leaf({ content: { kind: 'rows', depth: 0, rows: new Uint8Array(0) } }),
    'a kind of 9': leaf({ kind: 9 }),
    'attributes twice': leaf({
      xattrs: [
        { name: utf8('user.a'), value: utf8('1') },
        { name: utf8('user.a'), value: utf8('2') },
      ],
    }),
    'a long attribute value inline': leaf({ xattrs: [{ name: utf8('user.a'), value: new Uint8Array(4097) }] }),
    'a short attribute value as a chunk': leaf({
      xattrs: [{ name: utf8('user.a'), value: { lengthBytes: 4096, id: new Uint8Array(32) } }],
    }),
    'entries twice': leafOf([entries[7]!, entries[7]!]),
    'entries out of order': leafOf([entries[8]!, entries[7]!]),
    'a directory with a hard link': leafOf([{ ...entries[5]!, link: { id: new Uint8Array(16), nlink: 2 } } as never]),
    'an empty symlink': leafOf([{ ...entries[6]!, target: utf8('') } as never]),
  };
  for (const [what, bytes] of Object.entries(refused)) t.throws(() => decodePage(bytes, 'page'), { code: 'CORRUPT' }, what);

  const body = decodeManifestBody(vector('manifest body'), 'body');
  const of = (change: object) => () => decodeManifestBody(encodeManifestBody({ ...body, ...change }), 'body');
  t.throws(of({ problemCount: 2 }), { code: 'CORRUPT' }, 'a count that is not that of the problems');
  t.throws(of({ paths: [utf8('home')] }), { code: 'CORRUPT' }, 'a relative source');
  t.same(
    of({ tags: ['😀', '～', 'b', 'a', 'b'] })().tags,
    ['a', 'b', '～', '😀'],
    'tags are written in the order of their UTF-8 bytes, once',
  );
});

const whyNothing = (bytes: Uint8Array): string | undefined => {
  const { payload } = decodeEntry(bytes, 'entry').entry;
  return 'reserved' in payload ? payload.why : undefined;
};

t.test('payloads that break a rule of the specification change nothing, and say why', async (t) => {
  const id = bytesOf('some id');
  const two = concat(id, id);
  const falling = concat(new Uint8Array(32).fill(2), new Uint8Array(32).fill(1));
  const numbers = (out: CborWriter, ...list: number[]): CborWriter => {
    for (const number of list) out.int(number);
    return out;
  };
  const policy = (out: CborWriter, auto: number, classes: (out: CborWriter) => unknown): unknown =>
    classes(numbers(out.array(12), 0, 0, 0, 0, 0, 0, 0, 0, auto, 0, 0));
  const named = (out: CborWriter, name: string): unknown =>
    numbers(out.array(11).text(name), 0, 0, 0, 0, 0, 0).array(0).array(0).array(0).int(0);
  const check = (out: CborWriter, change: { level?: number; last?: Uint8Array; badCount?: number; packs?: number }): unknown => {
    const { level = 1, last = new Uint8Array(32).fill(255), badCount = 1, packs = 7 } = change;
    numbers(out.array(10).int(level).bytes(id).bytes(last).int(0).bytes(id), 0, packs, 0, badCount).bytes(id);
    return out;
  };
  const refused: Record<string, [number, (out: CborWriter) => unknown]> = {
    'a genesis with an item': [1, (out) => out.array(1).int(0)],
    'a writer-cert with a short key': [2, (out) => out.array(2).bytes(id.subarray(1)).bytes(id.subarray(16))],
    'a retire without a reason': [3, (out) => out.array(3).bytes(id.subarray(16)).int(0).bytes(id)],
    'a retire of less than nothing': [3, (out) => out.array(4).bytes(id.subarray(16)).int(-1).bytes(id).text('')],
    'a policy of seven items': [4, (out) => numbers(out.array(7), 0, 0, 0, 0, 0, 0, 0)],
    'a policy with a negative duration': [4, (out) => numbers(out.array(6), 0, 0, -1, 0, 0, 0)],
    'a policy that prunes by halves': [4, (out) => policy(out, 2, (more) => more.array(0))],
    'a class without a name': [4, (out) => policy(out, 0, (more) => named(more.array(1), ''))],
    'two classes of one name': [
      4,
      (out) =>
        policy(out, 0, (more) => {
          named(more.array(2), 'a');
          named(more, 'a');
        }),
    ],
    'a snapshot of an unnamed class': [5, (out) => numbers(out.array(6).bytes(id).bytes(id.subarray(16)), 0, 0, 0).text('')],
    'a snapshot of seven items': [
      5,
      (out) =>
        numbers(out.array(7).bytes(id).bytes(id.subarray(16)), 0, 0, 0)
          .text('a')
          .int(0),
    ],
    'a snapshot in state 2': [5, (out) => numbers(out.array(5).bytes(id).bytes(id.subarray(16)), 2, 0, 0)],
    'a snapshot of 32 slots': [5, (out) => numbers(out.array(5).bytes(id).bytes(id.subarray(16)), 0, 0, 32)],
    'ids twice': [6, (out) => out.array(3).bytes(two).int(0).text('')],
    'ids that fall': [7, (out) => out.array(2).bytes(falling).text('')],
    'an id and a half': [7, (out) => out.array(2).bytes(two.subarray(16)).text('')],
    'a release of nobody': [8, (out) => out.array(3).bytes(new Uint8Array(0)).int(0).text('')],
    'a receipt of four items': [9, (out) => out.array(1).array(4).bytes(id.subarray(16)).int(0).bytes(id).int(0)],
    'a receipt of 32 slots': [9, (out) => numbers(out.array(1).array(5).bytes(id.subarray(16)).int(0).bytes(id), 0, 32)],
    'an intent with packs out of order': [14, (out) => out.array(3).bytes(falling).bytes(id).bytes(id)],
    'an intent without index objects': [14, (out) => out.array(2).bytes(id).bytes(id)],
    'a prune-done of no intent': [15, (out) => out.array(3).bytes(id).bytes(id).bytes(id)],
    'a rotation of a third role': [16, (out) => out.array(2).int(2).bytes(id)],
    'an incident in bytes': [17, (out) => out.array(2).bytes(id).text('')],
    'a cert of a fourth role': [19, (out) => out.array(2).int(3).bytes(id)],
    'a cert with two names': [19, (out) => out.array(4).int(2).bytes(id).text('a').text('b')],
    'a writer-cert without its scope': [2, (out) => out.array(3).bytes(id).bytes(id.subarray(16)).text('web1')],
    'a rotation with half a signature': [16, (out) => out.array(3).int(1).bytes(id).bytes(id)],
    'an extension of nothing': [4, (out) => numbers(out.array(13), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0).array(0).int(0)],
    'a duration of ten thousand years': [4, (out) => numbers(out.array(6), 0, 0, 253_402_300_800, 0, 0, 0)],
    'kept beyond the year 9999': [5, (out) => numbers(out.array(5).bytes(id).bytes(id.subarray(16)), 0, 253_402_300_800, 0)],
    'extended beyond the year 9999': [6, (out) => out.array(3).bytes(id).int(253_402_300_800).text('')],
    'a receipt beyond the year 9999': [
      9,
      (out) => numbers(out.array(1).array(5).bytes(id.subarray(16)).int(0).bytes(id), 253_402_300_800, 0),
    ],
    'an attestation without a statement': [10, (out) => out.array(1).bytes(id)],
    'a check of an unknown level': [11, (out) => check(out, { level: 4 })],
    'a check of a range that ends before it begins': [11, (out) => check(out, { last: new Uint8Array(32) })],
    'a check with more bad packs than it names': [11, (out) => check(out, { badCount: 2 })],
    'a check with more bad packs than packs': [11, (out) => check(out, { packs: 0 })],
    'a drill that is announced with a verdict': [
      12,
      (out) => out.array(5).int(0).bytes(id.subarray(16)).bytes(id).int(0).bytes(id),
    ],
    'a drill without a verdict': [12, (out) => out.array(3).int(1).bytes(id.subarray(16)).bytes(id)],
    'a drill with a fourth verdict': [12, (out) => out.array(5).int(1).bytes(id.subarray(16)).bytes(id).int(3).bytes(id)],
    'a copy in a third direction': [13, (out) => out.array(6).int(2).bytes(id).bytes(id).bytes(id).int(0).int(0)],
    'a slot twice': [
      21,
      (out) => out.array(2).array(1).array(3).bytes(id.subarray(24)).text('').bytes(id).array(1).bytes(id.subarray(24)),
    ],
    'a slot with a short id': [21, (out) => out.array(2).array(0).array(1).bytes(id.subarray(25))],
    'a stream of half a name': [22, (out) => out.array(3).bytes(id.subarray(16)).bytes(id.subarray(24)).text('')],
    'an accepted chain without a head': [20, (out) => out.array(2).array(1).array(2).bytes(id.subarray(16)).int(0).text('')],
  };
  const misshapen: Record<string, [number, (out: CborWriter) => unknown]> = {
    'a type of 0': [0, (out) => out.array(0)],
    'a type of 256': [256, (out) => out.array(0)],
    'a payload of a later type that is no array': [99, (out) => out.int(0)],
    '33 arrays in one another': [
      99,
      (out) => {
        for (let i = 2; i < 33; i++) out.array(1);
        out.array(0);
      },
    ],
  };
  for (const [what, [type, write]] of Object.entries(misshapen))
    t.throws(() => decodeEntry(entryOfPayload(type, write), 'entry'), { code: 'CORRUPT' }, what);
  // A payload that breaks a rule is its author's affair: the entry keeps its place, and changes nothing.
  for (const [what, [type, write]] of Object.entries(refused)) t.type(whyNothing(entryOfPayload(type, write)), 'string', what);
  t.ok(
    decodeEntry(
      entryOfPayload(99, (out) => out.array(1).int(-1)),
      'entry',
    ),
    'and the helper makes sound ones',
  );

  const withReaders = (root: Uint8Array | null, bytes: number): Uint8Array =>
    new CborWriter().array(5).bytes(repository).bytesOrNull(root).null().null().bytes(new Uint8Array(bytes)).finish();
  for (const bytes of [0, 31, 33])
    t.throws(() => decodeKeyring(withReaders(id, bytes), 'keyring'), { code: 'CORRUPT' }, `reader keys of ${bytes} bytes`);
  t.throws(() => decodeKeyring(withReaders(null, 32), 'keyring'), { code: 'CORRUPT' }, 'reader keys without a root secret');
  t.equal(decodeKeyring(withReaders(id, 64), 'keyring').readers?.length, 2);
});

t.test('the text of a key file has one binary content, whatever its lines end with', async (t) => {
  const text = Buffer.from(encodeKeyFileText(vector('key file without a passphrase'))).toString();
  const of = (changed: string) => () => toHex(decodeKeyFileText(utf8(changed), 'key'));
  const sound = of(text)();
  for (const same of [text.replaceAll('\n', '\r\n'), text.trimEnd(), text.replaceAll('A', ' A\t'), `${text}\n\n`])
    t.equal(of(same)(), sound);
  const at = text.indexOf('\n') + 9;
  for (const [what, changed] of [
    ['a lone CR in the base64', `${text.slice(0, at)}\r${text.slice(at)}`],
    ['a CR at the end', `${text.trimEnd()}\r`],
    ['a lone CR behind the first line', text.replace('\n', '\r')],
    ['a form feed', `${text.slice(0, at)}\f${text.slice(at)}`],
    ['no padding', text.trimEnd().replace(/=+$/, '')],
    ['something behind the padding', `${text.trimEnd()}AAAA`],
    ['another first line', text.replace('v1', 'v2')],
  ] as const)
    t.throws(of(changed), { code: 'WRONG_KEY' }, what);
});
