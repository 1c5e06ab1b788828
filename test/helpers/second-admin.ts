/** What tests with a second, lower admin share: a vault over a directory, and entries said by hand. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { toHex } from '../../lib/bytes.js';
import { domainSecret } from '../../lib/crypto/roles.js';
import { publicKeyOf } from '../../lib/crypto/sign.js';
import type { Keyring } from '../../lib/format/key-slot.js';
import { CertifiedRole, EntryType, type Payload } from '../../lib/format/payload.js';
import { backup } from '../../lib/ingest/backup.js';
import { locateRepository, openRepository, type Repository } from '../../lib/repository/repository.js';
import { openDirectoryStore } from '../../lib/store/directory.js';
import { HandChain, only } from './attacker.js';
import { noise } from './damaged-repository.js';
import type { TestVaultRepository } from './vault.js';

export const DAY = 86_400_000;
let files = 0;

export async function take(made: TestVaultRepository, writer: Repository, host = 'h'): Promise<string> {
  const file = join(made.folder, 'data');
  writeFileSync(file, noise(`data ${++files}`, 5000));
  return toHex((await backup(writer, { paths: [file], host, label: 'l', threads: 1 })).snapshotId!);
}

export async function onDisk(made: TestVaultRepository, keyring: Keyring = made.keyring): Promise<Repository> {
  const place = await locateRepository(await openDirectoryStore(made.repositoryDir));
  return openRepository(place, keyring, join(made.folder, `disk-${++files}`));
}

/** Sends an entry signed with `seed` through the admin connection. */
export async function say(
  made: TestVaultRepository,
  seed: Uint8Array,
  payload: Payload,
  role: 'admin' | 'reader' = 'admin',
  timeMs = Date.now(),
) {
  const admin = await made.open('admin', only.admin(made.keyring));
  const sent = (await HandChain.at(admin, seed)).peek(timeMs, payload);
  const store = role === 'admin' ? admin.store : await made.connect(role);
  await store.put(sent.name, [sent.bytes]);
  return sent;
}

/** A second admin, and a writer that it certified; honest ones. */
export async function lowerAdminAndWriter(made: TestVaultRepository) {
  const lower = new Uint8Array(32).fill(21);
  await say(made, made.keyring.adminSeed!, { type: EntryType.cert, role: CertifiedRole.admin, publicKey: publicKeyOf(lower) });
  const seed = new Uint8Array(32).fill(22);
  const domain = new Uint8Array(16).fill(23);
  await say(made, lower, { type: EntryType.writerCert, publicKey: publicKeyOf(seed), domain });
  const { genesis } = await onDisk(made);
  const keyring: Keyring = {
    ...only.writer(made.keyring),
    writer: { seed, domain, domainSecret: domainSecret(made.keyring.root!, genesis.salt, domain) },
  };
  return { lower, seed, domain, keyring };
}
