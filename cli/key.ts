/** `varve key add | list | passwd | remove`: the ways into a repository; export, revoke and rotate are in key-roles.ts. */
import type { Command } from 'commander';
import {
  addKey,
  changePassphrase,
  findKey,
  type KeySlot,
  listKeys,
  loadLedger,
  type Repository,
  RoleError,
  removeKey,
} from '../lib/index.js';
import { localTime, rfc3339 } from './human.js';
import { userAtHost } from './identity.js';
import { addCertifyVault } from './key-certify.js';
import { configureRoles, printAuthors } from './key-roles.js';
import { type Run, withRepository } from './run.js';
import { type NewPassphraseOptions, newPassphrase } from './secrets.js';
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
A key slot is in the repository and opens with a passphrase; a key file is outside. Either holds the keys of one role or of several: writer
(stores, and reads nothing), reader (reads everything), admin (says whose entries count, and sets policy). Removing a slot shuts that way in, but
whoever opened the repository with it before may have kept what it holds: revoke or rotate such a key.

Examples:
  varve key add --label 'paper in the safe'
  varve key export /media/usb/varve.key --no-passphrase
  varve key export web1.key --role writer --no-passphrase --name web1
  varve key revoke 5c1d --reason 'web1 is gone'
  varve key rotate --role reader
  varve key remove 3f9a`,
  );
  command
    .command('list')
    .description('list the key slots, and all admins, vaults and writers')
    .addHelpText(
      'after',
      '\nKey slots come first: id, time, label. A * marks what opened the repository, and the keys that are in hand.',
    )
    .action(() =>
      withRepository(run, async (repository, { slotId }) => {
        const ledger = await loadLedger(repository);
        list(run, await listKeys(repository), slotId);
        await printAuthors(run, repository, ledger);
      }),
    );
  addNewPassphraseOptions(command.command('add'))
    .description('add a passphrase')
    .option('--label <text>', 'what to call it; default user@host')
    .action((options: NewPassphraseOptions & { label?: string }) =>
      withRepository(run, async (repository) => {
        await mayChangeSlots(repository, 'adding a passphrase');
        const slot = await addKey(repository, repository.keyring, await newPassphrase(run.out, options), {
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
        await mayChangeSlots(repository, 'removing a passphrase');
        const { id } = await findKey(repository, key);
        await removeKey(repository, id);
        run.out.record('key_removed', { id });
        run.out.info(`Removed key ${id}.`);
      }),
    );
  addCertifyVault(command, run);
  configureRoles(command, run, addNewPassphraseOptions);
}

/** @throws RoleError unless both admin and reader keys are in hand */
async function mayChangeSlots(repository: Repository, what: string): Promise<void> {
  await loadLedger(repository);
  if (repository.keyring.adminSeed === null) throw new RoleError('admin', what);
  if (repository.keyring.root === null) throw new RoleError('reader', what);
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
    // The slot gets the keys in hand: one that holds less would take the others' away.
    if (old.id === slotId) await loadLedger(repository);
    else await mayChangeSlots(repository, 'changing another passphrase than the one in use');
    const slot = await changePassphrase(repository, repository.keyring, old.id, await newPassphrase(run.out, options), {
      label: old.label,
    });
    run.out.record('key_changed', { ...describe(slot), replaces: old.id });
    run.out.info(`Key ${old.id} is now ${slot.id} with the new passphrase.`);
  });
}
