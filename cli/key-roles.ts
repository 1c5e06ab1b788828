/** `varve key export | revoke | rotate`, and the authors in `varve key list`: keys by role. */
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import {
  type AuthorRecord,
  certifyAuditor,
  certifyWriter,
  exportKeyFile,
  type Keyring,
  keyringOfRole,
  type Ledger,
  listAuthors,
  loadLedger,
  newAuditorKey,
  newWriterKey,
  noteExport,
  type Repository,
  revokeAuthor,
  rolesOf,
  toHex,
  utf8,
} from '../lib/index.js';
import { countText, localTime, rfc3339, safeText } from './human.js';
import { userAtHost } from './identity.js';
import { writeKeyFile } from './key-file.js';
import { rotate } from './key-rotate.js';
import { type Run, withRepository } from './run.js';
import { givenNewPassphrase, type NewPassphraseOptions, newPassphrase } from './secrets.js';
import { collect } from './snapshot-arguments.js';
import { UsageError } from './usage-error.js';

const ROLES = ['all', 'writer', 'reader', 'admin', 'auditor'] as const;

interface ExportFlags extends NewPassphraseOptions {
  readonly passphrase: boolean;
  readonly name?: string;
  readonly host?: string[];
  readonly label?: string[];
  readonly role: (typeof ROLES)[number];
  readonly shareDomain?: boolean;
}

/** Adds what `command`, which is `key`, has for roles. */
export function configureRoles(command: Command, run: Run, addNewPassphraseOptions: (command: Command) => Command): void {
  addNewPassphraseOptions(command.command('export'))
    .description('write a key file: of everything in hand, or for one role')
    .argument('<file>', 'must not exist yet')
    .addOption(new Option('--role <role>', 'what the file is for').choices(ROLES).default('all', '"all": a copy'))
    .option('--no-passphrase', 'leave it unprotected: whoever has the file has what it holds')
    .option('--name <text>', 'what to call it, in the ledger too; default user@host, and no name in the ledger')
    .option(
      '--host <pattern>',
      'with --role writer: a host it may back up as, * stands for any text (repeatable); default --name',
      collect,
    )
    .option('--label <pattern>', 'with --role writer: likewise for labels (repeatable); default any', collect)
    .option('--share-domain', 'with --role writer: deduplicate with the writer in hand; by default a writer shares nothing')
    .addHelpText(
      'after',
      `
  --role writer   a new key that backs up and can read nothing, its own backups neither; needs admin and reader keys in hand
  --role reader   reads everything: mount, restore, check
  --role admin    certifies and revokes keys, sets policy, holds; reads nothing. Keep it offline
  --role auditor  a new key that reads everything and signs what it found; stores nothing, changes nothing

A writer backs up as the hosts that its certificate names. What it stores under another host is shown under its own: nobody takes the files of
one machine for those of another.

A writer has a domain of its own: it deduplicates against its own backups only, and cannot find out what others have stored. With
--share-domain it deduplicates with the writer in hand; each of the two can then find out whether the other stored content that it guesses,
and a broken machine can spoil what the other deduplicates against.

Examples:
  varve key export web1.key --role writer --no-passphrase --name web1
  varve key export pg.key --role writer --name pg --host 'pg-*' --label 'pg_dump *'
  varve key export laptop.key --role reader
  varve key export audit.key --role auditor --name 'Examiner 2026'`,
    )
    .action((file: string, flags: ExportFlags) => exportTo(run, file, flags));
  command
    .command('revoke')
    .description('end the key of a writer, an auditor, a vault or another admin: what it writes from now on counts for nothing')
    .argument('<author>', 'its name or id, or the first digits (varve key list)')
    .requiredOption('--reason <text>', 'why, for those who read the ledger')
    .action((author: string, { reason }: { reason: string }) =>
      withRepository(run, async (repository) => {
        const revoked = await revokeAuthor(repository, author, reason);
        run.out.record('author_revoked', describeAuthor(revoked));
        run.out.info(
          `Revoked ${revoked.role} ${titleOf(revoked)}: its ${countText(revoked.entries, 'entry', 'entries')} so far count, and no more.`,
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

function describeAuthor(one: AuthorRecord): Record<string, unknown> {
  const { author, role, name, since, received, domains, entries, state, reason, inHand } = one;
  return {
    author: toHex(author),
    role,
    name: name ?? null,
    since: rfc3339(since),
    received: rfc3339(received),
    domains: domains.map(toHex),
    entries,
    state,
    ...(reason === undefined ? {} : { reason }),
    in_hand: inHand,
  };
}

/** Its name, if it has one, and the first digits of its id. */
function titleOf({ author, name }: Pick<AuthorRecord, 'author' | 'name'>): string {
  const short = toHex(author).slice(0, 8);
  return name === undefined ? short : `${safeText(utf8(name))} (${short})`;
}

/** Prints every author. */
export async function printAuthors(run: Run, repository: Repository, ledger: Ledger): Promise<void> {
  for (const one of await listAuthors(repository, ledger)) {
    run.out.record('author', describeAuthor(one));
    const { author, role, name, received, domains, entries, state, reason, inHand } = one;
    const called = name === undefined ? '' : `  ${safeText(utf8(name))}`;
    const where = domains.length === 0 ? '' : `  domain ${domains.map((domain) => toHex(domain).slice(0, 8)).join(', ')}`;
    const ended = state === 'active' ? '' : `  ${state}${reason ? `: ${safeText(utf8(reason))}` : ''}`;
    run.out.text(
      `${inHand ? '*' : ' '}${role.padEnd(7)}  ${toHex(author)}  ${localTime(received).slice(0, 16)}  ${countText(entries, 'entry', 'entries')}${called}${where}${ended}`,
    );
  }
}

/** @throws UsageError for options that do not go together */
function checkFlags(flags: ExportFlags): void {
  const { role, name } = flags;
  if (!flags.passphrase && givenNewPassphrase(flags) !== undefined)
    throw new UsageError('--no-passphrase, but a new passphrase is given too');
  if (name === '') throw new UsageError('--name is empty');
  if (role === 'writer') return;
  if (flags.shareDomain === true) throw new UsageError('--share-domain goes with --role writer');
  if (flags.host !== undefined || flags.label !== undefined) throw new UsageError('--host and --label go with --role writer');
}

async function exportTo(run: Run, file: string, flags: ExportFlags): Promise<void> {
  const { role, name, host: hosts = name === undefined ? ['*'] : [name], label: labels = [] } = flags;
  checkFlags(flags);
  await withRepository(run, async (repository) => {
    await loadLedger(repository);
    const keyring = await keyringFor(repository, role, flags.shareDomain === true);
    const passphrase = flags.passphrase
      ? await newPassphrase(run.out, flags, ', or leave the file unprotected with --no-passphrase')
      : undefined;
    const label = name ?? userAtHost();
    const certified = name === undefined ? {} : { name };
    await writeKeyFile(
      file,
      async () => ({ text: await exportKeyFile(keyring, passphrase, { label }), result: undefined }),
      // A certified key that nobody holds would be worse than a file that does not count.
      async () => {
        if (role === 'writer') await certifyWriter(repository, keyring, { ...certified, scope: { hosts, labels } });
        else if (role === 'auditor') await certifyAuditor(repository, keyring, certified);
        else await noteExport(repository, role, label);
      },
    );
    run.out.record('key_exported', {
      file: resolve(file),
      protected: passphrase !== undefined,
      role,
      roles: await rolesOf(keyring),
      ...(keyring.writer === null ? {} : { domain: toHex(keyring.writer.domain) }),
      ...(role === 'writer' ? { name: name ?? null, hosts, labels } : {}),
    });
    run.out.info(
      `Wrote ${resolve(file)}${FOR[role]}${passphrase === undefined ? ', unprotected: keep it where nobody else can read it' : ''}.`,
    );
    if (role === 'writer' && name === undefined && flags.host === undefined)
      run.out.info('It may back up as any host. To bind it to some: --name NAME, or --host PATTERN.');
    else if (role === 'writer') run.out.info(`It may back up as: ${hosts.map((pattern) => safeText(utf8(pattern))).join(', ')}.`);
  });
}

const FOR: Readonly<Record<ExportFlags['role'], string>> = {
  all: '',
  writer: ' for a writer',
  reader: ' for a reader',
  admin: ' for an admin',
  auditor: ' for an auditor',
};

async function keyringFor(repository: Repository, role: ExportFlags['role'], shareDomain: boolean): Promise<Keyring> {
  if (role === 'all') return repository.keyring;
  if (role === 'auditor') return await newAuditorKey(repository);
  return role === 'writer' ? newWriterKey(repository, { shareDomain }) : keyringOfRole(repository.keyring, role);
}
