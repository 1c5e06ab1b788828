/** `varve init`: makes a repository, with a passphrase, a key file, or both. */
import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { exportKeyFile, type Initialized, idHex, initRepository, openStore, showPolicy } from '../lib/index.js';
import { repositoryPlace } from './globals.js';
import { safeText } from './human.js';
import { userAtHost } from './identity.js';
import { writeKeyFile } from './key-file.js';
import { stateBase } from './places.js';
import { policyLines } from './policy.js';
import type { Run } from './run.js';
import { firstPassphrase, givenFirstPassphrase } from './secrets.js';
import { UsageError } from './usage-error.js';

export function configure(command: Command, run: Run): void {
  command
    .option('--label <text>', 'label of the key; default user@host')
    .description(
      'Creates a repository in a new or empty directory. The passphrase is asked for twice, or taken from -p, --password-command or the environment. ' +
        'With --key-file a key file is written too; without any passphrase the key file is then the only key.',
    )
    .addHelpText(
      'after',
      `
Nobody can open the repository without a passphrase or a key file: keep one apart from this machine.

Examples:
  varve init -r /srv/backup                              ask for a passphrase
  varve init -r /srv/backup -p /etc/varve.pass           take it from a file
  varve init -r /srv/backup --key-file /etc/varve.key    no passphrase, a key file`,
    )
    .action(async (options: { label?: string }) => init(run, options.label ?? userAtHost()));
}

/** What a repository has at its top, and what a new file system has. What init cannot use it refuses later, and leaves. */
const KNOWN = /^(genesis|packs|index|snapshots|tmp|lost\+found|init-[0-9a-f]{32})$/;
/** What an interrupted init leaves, and the next clears away. */
const REMAINS: Readonly<Record<string, RegExp>> = { keys: /^[0-9a-f]{16}$/, ledger: /^[0-9a-f]{32}(\/[0-9]{16})?$/ };

/** A repository among other people's files would take theirs for its own, and `check` would find them out of place. @throws UsageError */
function requireFree(folder: string): void {
  const stranger = readdirSync(folder)
    .flatMap((name) => {
      if (KNOWN.test(name)) return [];
      const own = REMAINS[name];
      if (own === undefined || !statSync(join(folder, name)).isDirectory()) return [name];
      return (readdirSync(join(folder, name), { recursive: true }) as string[])
        .filter((inner) => !own.test(inner))
        .map((inner) => join(name, inner));
    })
    .at(0);
  if (stranger !== undefined)
    throw new UsageError(
      `${folder} is not empty: it holds ${safeText(Buffer.from(stranger))}, which is no part of a repository. Nothing was changed; choose a new or an empty directory`,
    );
}

/** What holds from now on, and how it is changed. */
async function tellPolicy(run: Run, { place }: Initialized, location: string): Promise<void> {
  const { policy } = await showPolicy(place);
  const lines = [...policyLines(policy)].map(([name, value]) => `${name} ${value}`);
  run.out.info(`Its policy: ${lines.join(', ')}. To change it: varve -r ${location} policy set --help`);
}

async function init(run: Run, label: string): Promise<void> {
  const place = repositoryPlace(run.globals);
  const keyFile = run.globals.keyFile ?? (process.env.VARVE_KEY_FILE || undefined);
  const passphrase = keyFile === undefined ? await firstPassphrase(run) : givenFirstPassphrase(run.globals);
  const store = await openStore(place, { create: true });
  try {
    if (store.location.startsWith('/')) requireFree(store.location);
    const create = (): Promise<Initialized> =>
      initRepository(store, {
        label,
        ...(passphrase === undefined ? {} : { passphrase }),
        stateDir: stateBase() ?? null,
        onStateUnusable: ({ message }) => run.out.warn(message),
      });
    const made =
      keyFile === undefined
        ? await create()
        : await writeKeyFile(keyFile, async () => {
            const result = await create();
            return { text: await exportKeyFile(result.keyring, passphrase, { label }), result };
          });
    const id = idHex(made.place.id);
    run.out.record('initialized', {
      repository: store.location,
      id,
      ...(made.slot === undefined ? {} : { key: made.slot.id }),
      ...(keyFile === undefined ? {} : { key_file: resolve(keyFile) }),
    });
    run.out.info(`Created repository ${id.slice(0, 16)} at ${store.location}.`);
    if (keyFile !== undefined)
      run.out.info(
        `Its key is in ${resolve(keyFile)}${passphrase === undefined ? ', which no passphrase protects: guard it' : ', protected by the passphrase'}.`,
      );
    await tellPolicy(run, made, place);
    run.out.info(
      `Without ${passphrase === undefined ? 'that file' : 'the passphrase'} nothing in it can be read. Next: varve -r ${place} backup PATH`,
    );
  } finally {
    await store.close();
  }
}
