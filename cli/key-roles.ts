/** `varve key export | revoke | rotate`, and the authors in `varve key list`: keys by role. */
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import {
  type AuthorRecord,
  certifyWriter,
  exportKeyFile,
  idHex,
  type Keyring,
  keyringOfRole,
  type Ledger,
  listAuthors,
  loadLedger,
  newWriterKey,
  type Repository,
  revokeAuthor,
  rolesOf,
  toHex,
} from '../lib/index.js';
import { countText, safeText } from './human.js';
import { userAtHost } from './identity.js';
import { writeKeyFile } from './key-file.js';
import { rotate } from './key-rotate.js';
import { type Run, withRepository } from './run.js';
import { givenNewPassphrase, type NewPassphraseOptions, newPassphrase } from './secrets.js';
import { UsageError } from './usage-error.js';

interface ExportFlags extends NewPassphraseOptions {
  readonly passphrase: boolean;
  readonly label?: string;
  readonly name?: string;
  readonly role: 'all' | 'writer' | 'reader' | 'admin';
  readonly shareDomain?: boolean;
}

/** Adds what `command`, which is `key`, has for roles. */
export function configureRoles(command: Command, run: Run, addNewPassphraseOptions: (command: Command) => Command): void {
  addNewPassphraseOptions(command.command('export'))
    .description('write a key file: of everything in hand, or for one role')
    .argument('<file>', 'must not exist yet')
    .addOption(
      new Option('--role <role>', 'what the file is for')
        .choices(['all', 'writer', 'reader', 'admin'])
        .default('all', '"all": a copy'),
    )
    .option('--no-passphrase', 'leave it unprotected: whoever has the file has what it holds')
    .option('--name <text>', 'what to call it; default user@host')
    .addOption(new Option('--label <text>', 'the same').hideHelp())
    .option('--share-domain', 'with --role writer: deduplicate with the writer in hand; by default a writer shares nothing')
    .addHelpText(
      'after',
      `
  --role writer   a new key that backs up and can read nothing, its own backups neither; needs admin and reader keys in hand
  --role reader   reads everything: mount, restore, check
  --role admin    certifies and revokes keys, sets policy, holds; reads nothing. Keep it offline

A writer has a domain of its own: it deduplicates against its own backups only, and cannot find out what others have stored. With
--share-domain it deduplicates with the writer in hand; each of the two can then find out whether the other stored content that it guesses,
and a broken machine can spoil what the other deduplicates against.

Examples:
  varve key export web1.key --role writer --no-passphrase --name web1
  varve key export laptop.key --role reader`,
    )
    .action((file: string, flags: ExportFlags) => exportTo(run, file, flags));
  command
    .command('revoke')
    .description('end the key of a writer, a vault or another admin: what it writes from now on counts for nothing')
    .argument('<author>', 'its id, or the first digits (varve key list)')
    .requiredOption('--reason <text>', 'why, for those who read the ledger')
    .action((author: string, { reason }: { reason: string }) =>
      withRepository(run, async (repository) => {
        const revoked = await revokeAuthor(repository, author, reason);
        run.out.record('author_revoked', describeAuthor(revoked));
        run.out.info(
          `Revoked ${revoked.role} ${idHex(revoked.author).slice(0, 8)}: its ${countText(revoked.entries, 'entry', 'entries')} so far count, and no more.`,
        );
      }),
    );
  command
    .command('rotate')
    .description('replace a key in hand by a new one; the slot or file in hand is rewritten')
    .addOption(new Option('--role <role>', 'which key').choices(['reader', 'admin', 'writer']).makeOptionMandatory())
    .option('--new-domain', 'with --role writer: in a new domain, sharing nothing with what was stored before')
    .addHelpText(
      'after',
      `
Needs the admin key, and the key to be replaced. A rotated reader key opens all that was stored before, for good, but nothing of later sessions;
a rotated admin or writer key writes nothing more that counts. One that was interrupted is finished by the same command.

Examples:
  varve key rotate --role reader
  varve key rotate --role writer --new-domain`,
    )
    .action((flags: { role: 'reader' | 'admin' | 'writer'; newDomain?: boolean }) => {
      if (flags.newDomain === true && flags.role !== 'writer') throw new UsageError('--new-domain goes with --role writer');
      return withRepository(run, (_, opened) => rotate(run, opened, flags.role, flags.newDomain === true));
    });
}

function describeAuthor({ author, role, domains, entries, state, reason, inHand }: AuthorRecord): Record<string, unknown> {
  return {
    author: toHex(author),
    role,
    domains: domains.map(toHex),
    entries,
    state,
    ...(reason === undefined ? {} : { reason }),
    in_hand: inHand,
  };
}

/** Prints every author. */
export async function printAuthors(run: Run, repository: Repository, ledger: Ledger): Promise<void> {
  for (const one of await listAuthors(repository, ledger)) {
    run.out.record('author', describeAuthor(one));
    const { author, role, domains, entries, state, reason, inHand } = one;
    const where = domains.length === 0 ? '' : `  domain ${domains.map((domain) => toHex(domain).slice(0, 8)).join(', ')}`;
    const ended = state === 'active' ? '' : `  ${state}${reason ? `: ${safeText(Buffer.from(reason))}` : ''}`;
    run.out.text(
      `${inHand ? '*' : ' '}${role.padEnd(6)}  ${toHex(author)}  ${countText(entries, 'entry', 'entries')}${where}${ended}`,
    );
  }
}

async function exportTo(run: Run, file: string, flags: ExportFlags): Promise<void> {
  const { role } = flags;
  if (!flags.passphrase && givenNewPassphrase(flags) !== undefined)
    throw new UsageError('--no-passphrase, but a new passphrase is given too');
  if (flags.shareDomain === true && role !== 'writer') throw new UsageError('--share-domain goes with --role writer');
  await withRepository(run, async (repository) => {
    await loadLedger(repository);
    const keyring = await keyringFor(repository, role, flags.shareDomain === true);
    const passphrase = flags.passphrase
      ? await newPassphrase(run.out, flags, ', or leave the file unprotected with --no-passphrase')
      : undefined;
    const label = flags.name ?? flags.label ?? userAtHost();
    await writeKeyFile(
      file,
      async () => ({ text: await exportKeyFile(keyring, passphrase, { label }), result: undefined }),
      // A certified key that nobody holds would be worse than a file that does not count.
      async () => {
        if (role === 'writer') await certifyWriter(repository, keyring);
      },
    );
    run.out.record('key_exported', {
      file: resolve(file),
      protected: passphrase !== undefined,
      role,
      roles: await rolesOf(keyring),
      ...(keyring.writer === null ? {} : { domain: toHex(keyring.writer.domain) }),
    });
    run.out.info(
      `Wrote ${resolve(file)}${role === 'all' ? '' : ` for a${role === 'admin' ? 'n admin' : ` ${role}`}`}${passphrase === undefined ? ', unprotected: keep it where nobody else can read it' : ''}.`,
    );
  });
}

async function keyringFor(repository: Repository, role: ExportFlags['role'], shareDomain: boolean): Promise<Keyring> {
  if (role === 'all') return repository.keyring;
  return role === 'writer' ? newWriterKey(repository, { shareDomain }) : keyringOfRole(repository.keyring, role);
}
