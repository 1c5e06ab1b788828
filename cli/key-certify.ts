/** `varve key certify-vault`: an admin's word that a vault's key counts. */
import type { Command } from 'commander';
import { certifyVault } from '../lib/index.js';
import { type Run, withRepository } from './run.js';

export function addCertifyVault(command: Command, run: Run): void {
  command
    .command('certify-vault')
    .description('let the vault behind this connection vouch for snapshots')
    .argument('[key]', 'its public key, as `varve serve` prints it; it must be this one')
    .action((key: string | undefined) =>
      withRepository(run, async (repository) => {
        const { publicKey, added } = await certifyVault(repository, key);
        run.out.record('vault_certified', { public_key: publicKey, added });
        run.out.info(added ? `Certified vault ${publicKey}.` : `Vault ${publicKey} was certified already.`);
      }),
    );
}
