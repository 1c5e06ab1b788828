/** `varve key add | list | passwd | remove | export`: the ways into a repository. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { addKey, changePassphrase, exportKeyFile, findKey, type KeySlot, listKeys, removeKey, rolesOf } from '../lib/index.js';
import { localTime, rfc3339 } from './human.js';
import { userAtHost } from './identity.js';
import { addCertifyVault } from './key-certify.js';
import { writeKeyFile } from './key-file.js';
import { type Run, withRepository } from './run.js';
import { givenNewPassphrase, type NewPassphraseOptions, newPassphrase } from './secrets.js';
import { UsageError } from './usage-error.js';

const describe = (slot: KeySlot) => ({ id: slot.id, label: slot.label, created: rfc3339({ sec: slot.createdSec, nsec: 0 }) });

function addNewPassphraseOptions(command: Command): Command {
  return command
    .option('--new-password-file <file>', 'read the new passphrase from a file (VARVE_NEW_PASSWORD_FILE)')
    .option('--new-password-command <command>', 'run a command that prints it (VARVE_NEW_PASSWORD_COMMAND)');
}

export function configure(command: Command, run: Run): void {
  command.addHelpText(
    'after',
    `
A key slot is in the repository and opens with a passphrase; a key file is outside. All of them hold the same keys: removing one shuts
that way in, but whoever opened the repository with it before may have kept what it holds.

Examples:
  varve key add --label 'paper in the safe'
  varve key export /media/usb/varve.key --no-passphrase
  varve key remove 3f9a`,
  );
  command
    .command('list')
    .description('list the key slots')
    .action(() => withRepository(run, async (repository, { slotId }) => list(run, await listKeys(repository), slotId)));
  addNewPassphraseOptions(command.command('add'))
    .description('add a passphrase')
    .option('--label <text>', 'what to call it; default user@host')
    .action((options: NewPassphraseOptions & { label?: string }) =>
      withRepository(run, async (repository) => {
        const slot = await addKey(repository, repository.keyring, await newPassphrase(options), {
          label: options.label ?? userAtHost(),
        });
        run.out.record('key_added', describe(slot));
        run.out.info(`Added key ${slot.id} (${slot.label}).`);
      }),
    );
  addNewPassphraseOptions(command.command('passwd'))
    .description('change the passphrase in use, or that of another key')
    .argument('[key]', 'id, or its first digits; default the one that opened the repository')
    .action((key: string | undefined, options: NewPassphraseOptions) => passwd(run, key, options));
  command
    .command('remove')
    .description('remove a key slot; the last one stays')
    .argument('<key>', 'id, or its first digits')
    .action((key: string) =>
      withRepository(run, async (repository) => {
        const { id } = await findKey(repository, key);
        await removeKey(repository, id);
        run.out.record('key_removed', { id });
        run.out.info(`Removed key ${id}.`);
      }),
    );
  addCertifyVault(command, run);
  addNewPassphraseOptions(command.command('export'))
    .description('write a key file')
    .argument('<file>', 'must not exist yet')
    .option('--no-passphrase', 'leave it unprotected: whoever has the file has the backups')
    .option('--label <text>', 'what to call it; default user@host')
    .action((file: string, options: NewPassphraseOptions & { passphrase: boolean; label?: string }) =>
      exportTo(run, file, options),
    );
}

function list(run: Run, slots: readonly KeySlot[], current: string | undefined): void {
  for (const slot of slots) {
    run.out.record('key', { ...describe(slot), current: slot.id === current });
    run.out.text(`${slot.id === current ? '*' : ' '}${slot.id}  ${localTime({ sec: slot.createdSec, nsec: 0 })}  ${slot.label}`);
  }
  if (slots.length === 0) run.out.info('No key slots: this repository opens with a key file only.');
}

async function passwd(run: Run, key: string | undefined, options: NewPassphraseOptions): Promise<void> {
  await withRepository(run, async (repository, { slotId }) => {
    if (key === undefined && slotId === undefined)
      throw new UsageError('opened with a key file, so name the key whose passphrase is to change (varve key list)');
    const old = await findKey(repository, key ?? slotId!);
    const slot = await changePassphrase(repository, repository.keyring, old.id, await newPassphrase(options), {
      label: old.label,
    });
    run.out.record('key_changed', { ...describe(slot), replaces: old.id });
    run.out.info(`Key ${old.id} is now ${slot.id} with the new passphrase.`);
  });
}

async function exportTo(
  run: Run,
  file: string,
  options: NewPassphraseOptions & { passphrase: boolean; label?: string },
): Promise<void> {
  if (!options.passphrase && givenNewPassphrase(options) !== undefined)
    throw new UsageError('--no-passphrase, but a new passphrase is given too');
  await withRepository(run, async (repository) => {
    const passphrase = options.passphrase ? await newPassphrase(options) : undefined;
    await writeKeyFile(file, async () => ({
      text: await exportKeyFile(repository.keyring, passphrase, { label: options.label ?? userAtHost() }),
      result: undefined,
    }));
    run.out.record('key_exported', {
      file: resolve(file),
      protected: passphrase !== undefined,
      roles: await rolesOf(repository.keyring),
    });
    run.out.info(
      `Wrote ${resolve(file)}${passphrase === undefined ? ', unprotected: keep it where nobody else can read it' : ''}.`,
    );
  });
}
