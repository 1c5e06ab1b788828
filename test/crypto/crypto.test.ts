/** The cryptography of lib/crypto against the RFCs' own vectors, and against whoever bends what it made. */
import { createHash, randomBytes } from 'node:crypto';
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import t from 'tap';
import { concat, EMPTY, fromHex, toHex, utf8 } from '../../lib/bytes.js';
import { chunkId, chunkIdOfDigest } from '../../lib/crypto/chunk-id.js';
import { open, SEAL_OVERHEAD_BYTES, seal } from '../../lib/crypto/envelope.js';
import { hkdf, hmac, sha256 } from '../../lib/crypto/kdf.js';
import { isAffordable, passphraseKey } from '../../lib/crypto/passphrase.js';
import { domainKeys, domainSecret, readerPrivateKey, x25519Public } from '../../lib/crypto/roles.js';
import { createSessionKey, manifestKey, packKey } from '../../lib/crypto/session.js';
import { sessionOpener } from '../../lib/crypto/session-open.js';
import { authorOf, publicKeyOf, sign, verifySignature } from '../../lib/crypto/sign.js';
import type { Keyring } from '../../lib/format/key-slot.js';
import { decodeSlot, encodeKeyring, encodeSlotHeader } from '../../lib/format/key-slot.js';
import { Kind } from '../../lib/format/preamble.js';
import { clearKeyring, openKeyring, sealKeyring } from '../../lib/repository/keyring.js';
import { openSessionKey, suite } from '../reference/hpke.js';

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
/** Every copy of `bytes` with one bit flipped. */
function* bent(bytes: Uint8Array): Generator<Uint8Array> {
  for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
    const copy = bytes.slice();
    copy[bit >> 3]! ^= 1 << (bit & 7);
    yield copy;
  }
}

t.test('a seal opens with its key and associated data, and in no other way', async (t) => {
  const [key, aad, plaintext] = [random(32), utf8('associated'), random(70)];
  const sealed = seal(key, aad, plaintext);
  t.equal(sealed.byteLength, plaintext.byteLength + SEAL_OVERHEAD_BYTES);
  t.same(open(key, aad, sealed), plaintext);
  t.notSame(seal(key, aad, plaintext), sealed, 'every seal has a nonce of its own');
  let opened = 0;
  for (const copy of bent(sealed)) if (open(key, aad, copy) !== undefined) opened++;
  for (const copy of bent(key)) if (open(copy, aad, sealed) !== undefined) opened++;
  for (const copy of bent(aad)) if (open(key, copy, sealed) !== undefined) opened++;
  for (let length = 0; length < sealed.byteLength; length++)
    if (open(key, aad, sealed.subarray(0, length)) !== undefined) opened++;
  t.equal(opened, 0);
  t.equal(open(key, EMPTY, sealed), undefined);
  t.equal(open(key, aad, concat(sealed, Uint8Array.of(0))), undefined);
  t.same(open(key, EMPTY, seal(key, EMPTY, EMPTY)), EMPTY, 'nothing can be sealed too');
});

t.test('the seal is XChaCha20-Poly1305 of draft-irtf-cfrg-xchacha-03, A.3.1', async (t) => {
  const key = fromHex('808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f');
  const nonce = fromHex('404142434445464748494a4b4c4d4e4f5051525354555657');
  const aad = fromHex('50515253c0c1c2c3c4c5c6c7');
  const plaintext = utf8(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  );
  const sealed = concat(nonce, xchacha20poly1305(key, nonce, aad).encrypt(plaintext));
  t.equal(toHex(sealed.subarray(-16)), 'c0875924c1c7987947deafd8780acf49');
  t.equal(toHex(sealed.subarray(24, 40)), 'bd6d179d3e83d43b9576579493c0e939');
  t.same(open(key, aad, sealed), plaintext);
});

t.test('HKDF is that of RFC 5869, A.1 to A.3', async (t) => {
  const ikm = new Uint8Array(22).fill(0x0b);
  const latin = (hex: string): [string, Uint8Array] => ['', fromHex(hex)];
  t.equal(
    toHex(hkdf(ikm, fromHex('000102030405060708090a0b0c'), ...latin('f0f1f2f3f4f5f6f7f8f9'), 42)),
    '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
  );
  const count = (from: number, length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => from + i);
  t.equal(
    toHex(hkdf(count(0, 80), count(0x60, 80), '', count(0xb0, 80), 82)),
    'b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87',
  );
  t.equal(
    toHex(hkdf(ikm, EMPTY, '', EMPTY, 42)),
    '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
  );
  t.same(hkdf(ikm, EMPTY, 'label', utf8('context')), hkdf(ikm, EMPTY, 'labelcontext'), 'info is label and context, joined');
});

t.test('HMAC is that of RFC 4231, test case 2, and chunk ids are made of it', async (t) => {
  t.equal(
    toHex(hmac(utf8('Jefe'), utf8('what do ya want '), utf8('for nothing?'))),
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  );
  const key = random(32);
  const data = random(100);
  t.same(chunkId(key, 1, data), hmac(key, Uint8Array.of(1), createHash('sha256').update(data).digest()));
  t.same(chunkIdOfDigest(key, 1, sha256(data)), chunkId(key, 1, data));
  t.notSame(chunkId(key, 2, data), chunkId(key, 1, data), 'a type has ids of its own');
});

t.test('Ed25519 keys are those of RFC 8032, 7.1, and nothing but the signature verifies', async (t) => {
  const seed = fromHex('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60');
  t.equal(toHex(publicKeyOf(seed)), 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
  t.equal(
    toHex(publicKeyOf(fromHex('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb'))),
    '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
  );
  // The RFC's messages cannot begin with a label and a zero as ours do: its keys, our messages.
  const signature = sign(seed, 'label', utf8('message'));
  const key = publicKeyOf(seed);
  t.ok(verifySignature(key, 'label', utf8('message'), signature));
  t.notOk(verifySignature(key, 'labe', utf8('lmessage'), signature), 'a label does not run into the message');
  let accepted = 0;
  for (const copy of bent(signature)) if (verifySignature(key, 'label', utf8('message'), copy)) accepted++;
  for (const copy of bent(key)) if (verifySignature(copy, 'label', utf8('message'), signature)) accepted++;
  for (const copy of bent(utf8('message'))) if (verifySignature(key, 'label', copy, signature)) accepted++;
  t.equal(accepted, 0);
  t.notOk(verifySignature(key, 'label', utf8('message'), signature.subarray(1)), 'a short signature is no error, only wrong');
  t.notOk(verifySignature(key.subarray(1), 'label', utf8('message'), signature));
  // S + L verifies where S is not compared with the group order (RFC 8032 §5.1.7).
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  let s = BigInt(`0x${toHex(signature.slice(32).reverse())}`) + order;
  const malleable = signature.slice();
  for (let i = 32; i < 64; i++, s >>= 8n) malleable[i] = Number(s & 255n);
  t.notOk(verifySignature(key, 'label', utf8('message'), malleable));
  t.same(authorOf(key), sha256(key).slice(0, 16));
});

t.test('a key or point has one encoding: others of the same point verify nothing (RFC 8032, 5.1.3)', async (t) => {
  // Under the neutral point (y = 1), and with S = 0, R = that point is a signature of everything: what is refused here is refused for its encoding.
  const neutral = `01${'00'.repeat(31)}`;
  const zero = '00'.repeat(32);
  const verifies = (key: string, r: string): boolean => verifySignature(fromHex(key), 'l', utf8('m'), fromHex(r + zero));
  // Newer releases of OpenSSL (Node 24) refuse points of small order by themselves; then this shows no more than that.
  const taken = verifies(neutral, neutral);
  if (Number(process.versions.node.split('.')[0]) < 24) t.ok(taken, 'this one takes it');
  const others = {
    'y = p + 1': `ee${'ff'.repeat(30)}7f`,
    'x = 0 with a sign': `01${'00'.repeat(30)}80`,
    both: `ee${'ff'.repeat(31)}`,
  };
  for (const [what, other] of Object.entries(others)) {
    t.notOk(verifies(other, neutral), `a key with ${what}`);
    t.notOk(verifies(neutral, other), `a signature with ${what}`);
  }
  // y = p − 1 is the point of order 2, whose x is 0 too: k·A is neutral for every other message.
  const signed = (key: string): number =>
    Array.from({ length: 64 }, (_, i) => utf8(`m${i}`)).filter((m) =>
      verifySignature(fromHex(key), 'l', m, fromHex(neutral + zero)),
    ).length;
  if (taken) t.ok(signed(`ec${'ff'.repeat(30)}7f`) > 10);
  t.equal(signed(`ec${'ff'.repeat(31)}`), 0, 'p − 1 with a sign');
});

t.test('X25519 public keys are those of RFC 7748, 6.1', async (t) => {
  t.equal(
    toHex(x25519Public(fromHex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'))),
    '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a',
  );
});

const salt = random(32);
const root = random(32);
const readerPrivate = readerPrivateKey(root, salt);
const domainId = random(16);
const domain = domainKeys(domainSecret(root, salt, domainId), salt, domainId);
const ids = { repository: random(32), writer: random(16), domain: domainId, session: random(16) };

t.test(
  'a session key opens for the reader who has the domain’s secret, by either implementation, and for nobody else',
  async (t) => {
    const { key, sealed } = await createSessionKey(x25519Public(readerPrivate), domain, ids);
    const blocking = sessionOpener([readerPrivate]);
    t.same(await openSessionKey(readerPrivate, domain, ids, sealed), key);
    t.same(blocking(domain, ids, sealed), key);
    t.equal(sealed.enc.byteLength, 32);
    t.equal(sealed.ct.byteLength, 48);

    const other = { ...domain, psk: random(32) };
    const stranger = random(32);
    const wrong: [string, Uint8Array, typeof domain, typeof ids, typeof sealed][] = [
      ['another psk', readerPrivate, other, ids, sealed],
      ['another domain id', readerPrivate, { ...domain, domain: random(16) }, ids, sealed],
      ['another reader', stranger, domain, ids, sealed],
      ['another repository', readerPrivate, domain, { ...ids, repository: random(32) }, sealed],
      ['another writer', readerPrivate, domain, { ...ids, writer: random(16) }, sealed],
      ['another domain', readerPrivate, domain, { ...ids, domain: random(16) }, sealed],
      ['another session', readerPrivate, domain, { ...ids, session: random(16) }, sealed],
      ['another commitment', readerPrivate, domain, ids, { ...sealed, commitment: random(32) }],
      ['a short ciphertext', readerPrivate, domain, ids, { ...sealed, ct: sealed.ct.subarray(0, 15) }],
      ['no ciphertext', readerPrivate, domain, ids, { ...sealed, ct: EMPTY }],
      ['a low-order enc', readerPrivate, domain, ids, { ...sealed, enc: new Uint8Array(32) }],
      ['a short enc', readerPrivate, domain, ids, { ...sealed, enc: sealed.enc.subarray(1) }],
    ];
    for (const [what, reader, keys, who, what2] of wrong) {
      t.equal(await openSessionKey(reader, keys, who, what2), undefined, what);
      t.equal(sessionOpener([reader])(keys, who, what2), undefined, `${what}, blocking`);
    }
    let opened = 0;
    // The top bit of an X25519 public key is ignored by RFC 7748, but enc is also hashed, so that bit counts too.
    for (const copy of bent(sealed.enc)) if (blocking(domain, ids, { ...sealed, enc: copy }) !== undefined) opened++;
    for (const copy of bent(sealed.ct)) if (blocking(domain, ids, { ...sealed, ct: copy }) !== undefined) opened++;
    t.equal(opened, 0, 'no flipped bit opens');
  },
);

t.test('a session key whose commitment was made for another key is refused though it opens', async (t) => {
  // Seals another key under this commitment, as a forger who knows the psk could.
  const buffer = (bytes: Uint8Array): ArrayBuffer => bytes.slice().buffer as ArrayBuffer;
  const recipientPublicKey = await suite.kem.importKey('raw', buffer(x25519Public(readerPrivate)), true);
  const info = buffer(concat(utf8('varve v1 session'), ids.repository, ids.writer, ids.domain, ids.session));
  const psk = { id: buffer(concat(utf8('varve v1 psk'), domain.domain)), key: buffer(domain.psk) };
  const sealWith = async (key: Uint8Array, commitment: Uint8Array) => {
    const sender = await suite.createSenderContext({ recipientPublicKey, info, psk });
    const ct = new Uint8Array(await sender.seal(buffer(key), buffer(commitment)));
    return { enc: new Uint8Array(sender.enc), ct, commitment };
  };
  const key = random(32);
  const right = await sealWith(key, hkdf(key, ids.session, 'varve v1 commitment'));
  t.same(await openSessionKey(readerPrivate, domain, ids, right), key, 'the forger seals as we do');
  const forged = await sealWith(key, random(32));
  t.equal(await openSessionKey(readerPrivate, domain, ids, forged), undefined);
  t.equal(sessionOpener([readerPrivate])(domain, ids, forged), undefined);
});

t.test('keys of different purposes differ', async (t) => {
  const all = [
    domain.chunkId,
    domain.chunking,
    domain.index,
    domain.psk,
    domain.names,
    domain.tags,
    readerPrivate,
    domainSecret(root, salt, domainId),
    packKey(root, salt),
    manifestKey(root, salt),
  ];
  t.equal(new Set(all.map(toHex)).size, all.length);
  t.equal(domain.gear.length, 256);
  t.equal(new Set(domain.gear).size > 250, true);
});

t.test('scrypt is that of RFC 7914, 12, through what keyrings use', async (t) => {
  // The RFC's vectors have 64 bytes of output; the first 32 are what 32 bytes of output would be.
  const key = await passphraseKey('password', { log2N: 10, r: 8, p: 16, salt: utf8('NaCl') });
  t.equal(toHex(key!), 'fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162');
  const second = await passphraseKey('pleaseletmein', { log2N: 14, r: 8, p: 1, salt: utf8('SodiumChloride') });
  t.equal(toHex(second!), '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2');
});

t.test('parameters above 2 GiB, or impossible ones, are refused before anything is allocated', async (t) => {
  const before = process.memoryUsage().rss;
  const refused = [
    { log2N: 21, r: 8, p: 1 },
    { log2N: 63, r: 1 << 20, p: 1 << 20 },
    { log2N: 1, r: 1 << 20, p: 64 },
    { log2N: 16, r: 1, p: 1 },
    { log2N: 10, r: 8, p: 65 },
    { log2N: 0, r: 8, p: 1 },
    { log2N: 10, r: 0, p: 1 },
    { log2N: 10, r: 8, p: 0 },
  ];
  for (const parameters of refused) {
    t.notOk(isAffordable({ ...parameters, salt }), JSON.stringify(parameters));
    t.equal(await passphraseKey('x', { ...parameters, salt }), undefined);
    const head = encodeSlotHeader(
      { id: random(8), kdf: 1, ...parameters, salt, commitment: random(32), createdSec: 0, label: '' },
      Kind.keySlot,
    );
    await t.rejects(openKeyring(concat(head, random(100)), Kind.keySlot, ids.repository, 'x', 'slot'), { code: 'CORRUPT' });
  }
  t.ok(isAffordable({ log2N: 20, r: 8, p: 1, salt }), '1 GiB is fine');
  t.ok(process.memoryUsage().rss - before < 500e6);
});

t.test('a key slot opens with its passphrase; another passphrase is no error, damage is', async (t) => {
  const keyring: Keyring = {
    repository: ids.repository,
    root,
    adminSeed: random(32),
    writer: { seed: random(32), domain: domainId, domainSecret: random(32) },
  };
  const { id, bytes } = await sealKeyring(keyring, 'geheim', Kind.keySlot, 'me@here', 1_700_000_000, 4);
  t.same(decodeSlot(bytes, Kind.keySlot, 'slot').header.id, id);
  const opened = await openKeyring(bytes, Kind.keySlot, ids.repository, 'geheim', 'slot');
  t.same(encodeKeyring(opened!), encodeKeyring(keyring));
  for (const passphrase of ['', 'Geheim', 'geheim ', 'geheim\n'])
    t.equal(await openKeyring(bytes, Kind.keySlot, ids.repository, passphrase, 'slot'), undefined, JSON.stringify(passphrase));
  t.equal(await openKeyring(bytes, Kind.keySlot, ids.repository, undefined, 'slot'), undefined, 'no passphrase');
  await t.rejects(openKeyring(bytes, Kind.keySlot, random(32), 'geheim', 'slot'), { code: 'CORRUPT' }, 'of another repository');
  await t.rejects(
    openKeyring(bytes, Kind.keyFile, ids.repository, 'geheim', 'slot'),
    { code: 'CORRUPT' },
    'a slot is no key file',
  );
  const { content } = decodeSlot(bytes, Kind.keySlot, 'slot');
  for (const at of [0, 23, 24, content.byteLength - 1]) {
    const copy = bytes.slice();
    copy[bytes.byteLength - content.byteLength + at]! ^= 1;
    await t.rejects(
      openKeyring(copy, Kind.keySlot, ids.repository, 'geheim', 'slot'),
      { code: 'CORRUPT' },
      `byte ${at} of its content`,
    );
  }

  const clear = clearKeyring(keyring, 'me@here', 1_700_000_000);
  t.same(encodeKeyring((await openKeyring(clear, Kind.keyFile, ids.repository, undefined, 'file'))!), encodeKeyring(keyring));
  const damaged = clear.slice();
  damaged[damaged.byteLength - 1]! ^= 1;
  await t.rejects(openKeyring(damaged, Kind.keyFile, ids.repository, undefined, 'file'), { code: 'CORRUPT' });
});
