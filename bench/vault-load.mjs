// The load of the vault-memory row, as processes of their own. Usage, after a build:
//   node bench/vault-load.mjs packs REPOSITORY     lays 100,000 files with names of packs into the folder of a repository that no vault serves now
//   node bench/vault-load.mjs clients PLACE KEY    50 connections list all packs at once, then 25 of them put a pack of 16 MiB each at once
import { randomBytes } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toHex } from '../dist/lib/bytes.js';
import { sha256 } from '../dist/lib/crypto/kdf.js';
import { authorOf, publicKeyOf } from '../dist/lib/crypto/sign.js';
import { packName } from '../dist/lib/format/names.js';
import {
  encodePackFooter,
  encodePackHeader,
  MIN_PACK_BYTES,
  PACK_FOOTER_BYTES,
  PACK_HEADER_BYTES,
} from '../dist/lib/format/pack.js';
import { unlockWithKeyFile } from '../dist/lib/repository/keys.js';
import { locateRepository } from '../dist/lib/repository/repository.js';
import { openVaultStore } from '../dist/lib/store/vault.js';

const PACKS = 100_000;
const CONNECTIONS = 50;
const PUTS = 25;
const PUT_BYTES = 16 << 20;
/** A vault reads names and sizes at its start, so the files may share their bytes; ext4 allows 65,000 names for one. */
const NAMES_A_FILE = 50_000;

function layPacks(repository) {
  let shared;
  for (let i = 0; i < PACKS; i++) {
    const hex = toHex(randomBytes(32));
    const folder = join(repository, 'packs', hex.slice(0, 2));
    mkdirSync(folder, { recursive: true });
    const path = join(folder, hex);
    if (i % NAMES_A_FILE === 0) {
      shared = path;
      writeFileSync(path, randomBytes(MIN_PACK_BYTES));
    } else linkSync(shared, path);
  }
}

/** Packs that are right in all that a vault can see. They differ in their salts only, so that this process holds their content once. */
function* packsOf(repository, { seed, domain }) {
  const sealed = { enc: randomBytes(32), ct: randomBytes(48), commitment: randomBytes(32) };
  const ids = { repository, writer: authorOf(publicKeyOf(seed)), domain, session: randomBytes(16) };
  const content = randomBytes(PUT_BYTES - PACK_HEADER_BYTES - PACK_FOOTER_BYTES);
  const directoryBytes = 64;
  const footer = encodePackFooter(sealed, PUT_BYTES - PACK_FOOTER_BYTES - directoryBytes, directoryBytes);
  for (;;) {
    const parts = [encodePackHeader({ ...ids, ...sealed, packClass: 1, salt: randomBytes(32) }), content, footer];
    yield { name: packName(sha256(...parts)), parts };
  }
}

async function count(store) {
  let packs = 0;
  for await (const _ of store.list('packs/')) packs++;
  return packs;
}

async function clients(place, keyFile) {
  const stores = await Promise.all(Array.from({ length: CONNECTIONS }, () => openVaultStore(place)));
  const located = await locateRepository(stores[0]);
  const { writer } = await unlockWithKeyFile(located, readFileSync(keyFile), keyFile, undefined);
  const counts = await Promise.all(stores.map(count));
  if (counts.some((packs) => packs !== PACKS)) throw new Error(`a vault with ${PACKS} packs listed ${counts.join(', ')}`);
  const packs = packsOf(located.id, writer);
  await Promise.all(
    stores.slice(0, PUTS).map(async (store) => {
      const { name, parts } = packs.next().value;
      await store.put(name, parts);
    }),
  );
  await Promise.all(stores.map((store) => store.close()));
}

const [step, place, keyFile] = process.argv.slice(2);
if (step === 'packs' && place !== undefined) layPacks(place);
else if (step === 'clients' && keyFile !== undefined) await clients(place, keyFile);
else {
  process.stderr.write('usage: node bench/vault-load.mjs packs REPOSITORY | clients PLACE KEY\n');
  process.exitCode = 2;
}
