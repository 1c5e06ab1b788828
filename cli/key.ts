/** `varve key add | list | passwd | remove | restore`: the ways into a repository; export, revoke and rotate are in key-roles.ts. */
import type { Command } from 'commander';
import {
  addSlot,
  findSlot,
  type KeySlot,
  type ListedSlot,
  listSlots,
  loadLedger,
  type Repository,
  RoleError,
  removeSlot,
  restoreSlot,
  type SlotState,
  utf8,
} from '../lib/index.js';
import { localTime, rfc3339, safeText } from './human.js';
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
(stores, and reads nothing), reader (reads everything), admin (says whose entries count, and sets policy), auditor (attests). The ledger says which slots there are.
A slot that was removed opens nothing from then on; varve prune deletes its object when the policy's wait is over, and until then varve key
restore brings it back. Whoever opened the repository with it before may have kept what it holds: revoke or rotate such a key.

Examples:
  varve key add --label 'paper in the safe'
  varve key export /media/usb/varve.key --no-passphrase
  varve key export web1.key --role writer --no-passphrase --name web1
  varve key revoke web1 --reason 'web1 is gone'
  varve key rotate --role reader
  varve key remove 3f9a`,
  );
  command
    .command('list')
    .description('list the key slots, and all admins, vaults, auditors and writers')
    .addHelpText(
      'after',
      '\nKey slots come first: id, time, label, and what the ledger says of them. A * marks what opened the repository, and the keys that are in hand. Authors follow: role, id, when their certificate was received, name.',
    )
    .action(() =>
      withRepository(run, async (repository, { slotId }) => {
        const ledger = await loadLedger(repository);
        list(run, await listSlots(repository, ledger), slotId);
        await printAuthors(run, repository, ledger);
      }),
    );
  addNewPassphraseOptions(command.command('add'))
    .description('add a passphrase')
    .option('--label <text>', 'what to call it; default user@host')
    .action((options: NewPassphraseOptions & { label?: string }) =>
      withRepository(run, async (repository) => {
        await mayChangeSlots(repository, 'adding a passphrase');
        const slot = await addSlot(repository, repository.keyring, await newPassphrase(run.out, options), {
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
    .description('remove a key slot: it opens nothing any more; the last one stays')
    .argument('<key>', 'id, or its first digits')
    .action((key: string) =>
      withRepository(run, async (repository) => {
        await mayChangeSlots(repository, 'removing a passphrase');
        const { id } = await removeSlot(repository, key);
        run.out.record('key_removed', { id });
        run.out.info(
          `Removed key ${id}: it opens nothing any more. varve prune deletes it when the policy's wait is over; until then: varve key restore ${id}`,
        );
      }),
    );
  command
    .command('restore')
    .description('take the removal of a key slot back, as long as its object is there')
    .argument('<key>', 'id, or its first digits')
    .action((key: string) =>
      withRepository(run, async (repository) => {
        await mayChangeSlots(repository, 'restoring a passphrase');
        const { id } = await restoreSlot(repository, key);
        run.out.record('key_restored', { id });
        run.out.info(`Restored key ${id}: it opens the repository again.`);
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

const STATES: Readonly<Record<SlotState, string>> = {
  listed: '',
  unlisted: '  not in the ledger',
  removed: '  removed; varve prune deletes it when the wait is over',
  damaged: '  DAMAGED: not the slot that the ledger lists',
  missing: '  MISSING: the ledger lists it',
};

function list(run: Run, slots: readonly ListedSlot[], current: string | undefined): void {
  for (const { id, label, createdSec, state, sinceSec } of slots) {
    const time = (sec: number | undefined): string | null => (sec === undefined ? null : rfc3339({ sec, nsec: 0 }));
    run.out.record('key', {
      ...{ id, label, created: time(createdSec), state, since: time(sinceSec && Math.floor(sinceSec)) },
      current: id === current,
    });
    const created = createdSec === undefined ? '-'.padEnd(19) : localTime({ sec: createdSec, nsec: 0 });
    run.out.text(`${id === current ? '*' : ' '}${id}  ${created}  ${safeText(utf8(label))}${STATES[state]}`);
  }
  if (slots.length === 0) run.out.info('No key slots: this repository opens with a key file only.');
}

async function passwd(run: Run, key: string | undefined, options: NewPassphraseOptions): Promise<void> {
  await withRepository(run, async (repository, { slotId }) => {
    if (key === undefined && slotId === undefined)
      throw new UsageError('opened with a key file, so name the key whose passphrase is to change (varve key list)');
    const ledger = await loadLedger(repository);
    const old = await findSlot(await listSlots(repository, ledger), key ?? slotId!);
    mayPasswd(repository, old.id === slotId);
    const { label } = old;
    const slot = await addSlot(repository, repository.keyring, await newPassphrase(run.out, options), {
      label,
      replaces: [old.id],
    });
    run.out.record('key_changed', { ...describe(slot), replaces: old.id });
    run.out.info(`Key ${old.id} is now ${slot.id} with the new passphrase; the old passphrase opens nothing any more.`);
  });
}

/** @throws RoleError unless the keys in hand may take the place of what the slot holds, and the ledger may be told */
function mayPasswd({ keyring }: Repository, isOwn: boolean): void {
  const what = 'changing a passphrase';
  if (keyring.adminSeed === null)
    throw new RoleError(
      'admin',
      what,
      `${what} needs a key with the admin role, which says in the ledger which slots there are. Open the repository with such a key and add a passphrase there (varve key add), or protect a key file instead: varve key export FILE`,
    );
  // The slot gets the keys in hand: one that holds less would take the others' away.
  if (!isOwn && keyring.root === null) throw new RoleError('reader', 'changing another passphrase than the one in use');
}
