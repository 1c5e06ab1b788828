/** A vault in this process over a scratch folder, with a socket for each role and a repository made through its admin socket. */
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Keyring } from '../../lib/format/key-slot.js';
import type { PolicyPayload } from '../../lib/format/payload.js';
import { initRepository } from '../../lib/ledger/init.js';
import { locateRepository, openRepository, type Repository } from '../../lib/repository/repository.js';
import { DEFAULT_POLICY } from '../../lib/retention/slots.js';
import { openVaultStore, type VaultStore } from '../../lib/store/vault.js';
import type { VaultRole } from '../../lib/store/vault-protocol.js';
import { startVault, type Vault, type VaultOptions } from '../../lib/vault/server.js';
import { scratch } from './backup-repository.js';

export interface TestVault {
  readonly folder: string;
  readonly repositoryDir: string;
  readonly stateDir: string;
  readonly sockets: Record<VaultRole, string>;
  readonly log: string[];
  vault: Vault;
  /** A connection with a role; closed with the test. */
  connect(role: VaultRole): Promise<VaultStore>;
  /** Ends the vault and starts it again over the same folders. */
  restart(options?: Partial<VaultOptions>): Promise<void>;
}

export interface TestVaultRepository extends TestVault {
  readonly keyring: Keyring;
  open(role: VaultRole, keyring?: Keyring): Promise<Repository>;
}

/** Starts a vault over an empty folder. */
export async function startTestVault(t: Test, options: Partial<VaultOptions> = {}): Promise<TestVault> {
  const folder = scratch(t);
  const [repositoryDir, stateDir] = [join(folder, 'repo'), join(folder, 'state')];
  const at = (role: string): string => join(folder, `${role}.sock`);
  const sockets = { writer: at('writer'), reader: at('reader'), admin: at('admin') };
  const log: string[] = [];
  const start = (more: Partial<VaultOptions> = {}): Promise<Vault> =>
    startVault({
      repository: repositoryDir,
      stateDir,
      sockets,
      onLog: (line) => log.push(line),
      everySec: 3600,
      ...options,
      ...more,
    });
  const made: TestVault = {
    folder,
    repositoryDir,
    stateDir,
    sockets,
    log,
    vault: await start(),
    async connect(role) {
      const store = await openVaultStore(`vault:${sockets[role]}`);
      t.teardown(() => store.close());
      return store;
    },
    async restart(more) {
      await made.vault.close();
      made.vault = await start(more);
    },
  };
  t.teardown(() => made.vault.close());
  return made;
}

/** A vault with a repository. */
export async function startVaultRepository(
  t: Test,
  { policy, ...options }: Partial<VaultOptions> & { policy?: PolicyPayload } = {},
): Promise<TestVaultRepository> {
  const vault = await startTestVault(t, options);
  const admin = await vault.connect('admin');
  const { keyring } = await initRepository(admin, { label: 'test', policy: policy ?? DEFAULT_POLICY });
  return Object.assign(vault, {
    keyring,
    async open(role: VaultRole, own: Keyring = keyring) {
      const place = await locateRepository(await vault.connect(role));
      return openRepository(place, own, join(vault.folder, `cache-${role}`));
    },
  });
}
