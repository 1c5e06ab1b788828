/** `varve mount [SNAP[:PATH]] DIR`: shows snapshots as files, in the background unless told otherwise. */
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import {
  keyFileNeedsPassphrase,
  locateRepository,
  type MountRepositoryOptions,
  mountRepository,
  prepareMount,
} from '../lib/index.js';
import { READY_VARIABLE, reportReady, startInBackground } from './background.js';
import { repositoryPlace } from './globals.js';
import { readKeyFile } from './key-file.js';
import { stateFolder } from './places.js';
import { isUtf8Argument } from './raw-arguments.js';
import { chosenKeyFile, type Run, withRepository, withStore } from './run.js';
import { openWithPassphrase } from './secrets.js';
import { addFilterOptions, type FilterOptions, filterOf, parseSnapshotPath } from './snapshot-arguments.js';
import { UsageError } from './usage-error.js';

interface MountFlags extends FilterOptions {
  readonly foreground?: boolean;
  readonly allowOther?: boolean;
  readonly ownerRoot?: boolean;
  readonly defaultPermissions: boolean;
  readonly driver?: 'kernel' | 'fuse-native';
  readonly readAhead?: string;
  readonly listXattrs?: boolean;
}

export function configure(command: Command, run: Run): void {
  addFilterOptions(
    command.argument('<place...>', '[SNAP[:PATH]] DIR: what to show (default everything), and the directory to show it at'),
  )
    .option(
      '-f, --foreground',
      'stay in the foreground; Ctrl-C, SIGTERM or closing the terminal unmounts and ends it with status 0',
    )
    .option('--allow-other', 'let other users in')
    .option('--owner-root', 'show everything as owned by root')
    .option('--no-default-permissions', 'do not check permissions: show everything to whoever may enter')
    .addOption(new Option('--driver <driver>', 'how to mount; default kernel on Linux').choices(['kernel', 'fuse-native']))
    .option('--read-ahead <KiB>', 'how far the kernel reads ahead; above 128 as root only')
    .option('--list-xattrs', 'list user.varve.* attributes; they can always be read by name')
    .addHelpText(
      'after',
      `
The command returns when the mount is ready. Unmount with: varve umount DIR

  latest                                       the newest complete snapshot
  snapshots/TIME                               all of them; TIME is UTC, as 2026-11-22T01-20-27Z
  hosts/HOST/TIME, tags/TAG/TIME, by-id/ID     other names for them; hosts/HOST/latest
  at/ANY-TIME                                  what was newest then: at/2026-03-01, at/now (looked up, not listed)
  .varve/                                      status.json, ledger.jsonl, snapshots/ID.json

Snapshots that are taken later appear by themselves. With getfattr -n, files answer user.varve.sha256, user.varve.snapshot,
user.varve.state and user.varve.first-seen without being read. A mount whose server died answers "not connected" until it is unmounted, and is never empty.

Examples:
  varve mount /mnt/backup
  varve mount latest:/home /mnt/home
  varve mount -f --allow-other /mnt/backup`,
    )
    .action((places: string[], flags: MountFlags) => mount(run, places, flags));
}

async function mount(run: Run, places: readonly string[], flags: MountFlags): Promise<void> {
  if (places.length > 2) throw new UsageError('too many arguments: varve mount [SNAP[:PATH]] DIR');
  if (!isUtf8Argument(places.at(-1)!))
    throw new UsageError(`${places.at(-1)}: the name of the directory to mount at must be UTF-8`);
  const mountpoint = resolve(places.at(-1)!);
  const what = places.length === 2 ? places[0]! : undefined;
  const readAheadKib = flags.readAhead === undefined ? undefined : Number(flags.readAhead);
  if (readAheadKib !== undefined && !(Number.isInteger(readAheadKib) && readAheadKib >= 0))
    throw new UsageError(`${flags.readAhead} is not a number of KiB`);
  const filter = filterOf(flags);
  if (flags.foreground !== true && process.env[READY_VARIABLE] === undefined) {
    await inBackground(run, mountpoint);
    return;
  }
  if (process.platform === 'linux' && flags.driver !== 'fuse-native') await prepareMount();
  const { snapshot, path } = what === undefined ? { snapshot: undefined, path: undefined } : parseSnapshotPath(what);
  await serve(run, {
    mountpoint,
    ...(snapshot === undefined ? {} : { snapshotName: snapshot }),
    ...(path === undefined ? {} : { subPath: path }),
    ...(flags.driver === undefined ? {} : { driver: flags.driver }),
    allowOther: flags.allowOther === true,
    ownerRoot: flags.ownerRoot === true,
    defaultPermissions: flags.defaultPermissions,
    filter,
    listVirtualXattrs: flags.listXattrs === true,
    ...(readAheadKib === undefined ? {} : { readAheadKib }),
    onLog: (message) => run.out.warn(message),
  });
}

/** Mounts and serves until somebody unmounts, or a signal asks for it. */
async function serve(run: Run, options: MountRepositoryOptions): Promise<void> {
  const { out } = run;
  await withRepository(run, async (repository) => {
    run.signal.throwIfAborted();
    const mounted = await mountRepository(repository, options);
    const driver = options.driver ?? (process.platform === 'linux' ? 'kernel' : 'fuse-native');
    const asked = new Promise<'asked'>((resolveAsked) => {
      if (run.signal.aborted) resolveAsked('asked');
      run.signal.addEventListener('abort', () => resolveAsked('asked'));
    });
    out.record('mounted', { mountpoint: options.mountpoint, driver, pid: process.pid });
    out.info(`Mounted at ${options.mountpoint}. Ctrl-C, or varve umount ${options.mountpoint}, ends it.`);
    await out.flush();
    reportReady({ ready: { mountpoint: options.mountpoint, driver } });
    // Nothing prints from here on but warnings, so a reader that went away is no reason to end.
    if ((await Promise.race([mounted.finished, asked])) === 'asked') await mounted.unmount({ lazy: true });
  });
}

/** Starts this very command again in the background. What can go wrong early is found out here, where there is a terminal. */
async function inBackground(run: Run, mountpoint: string): Promise<void> {
  const { globals, out } = run;
  const odd = process.argv.find((argument) => !isUtf8Argument(argument));
  if (odd !== undefined)
    throw new UsageError(`${odd}: is not UTF-8, and cannot be handed to a mount in the background; use --foreground`);
  const id = await withStore(run, {}, async (store) => (await locateRepository(store)).id);
  const keyFile = chosenKeyFile(globals);
  const place = repositoryPlace(globals);
  const isPath = !/^[a-z][a-z0-9+.-]+:/i.test(place);
  // Read once: a pipe gives it once.
  const key = keyFile === undefined ? undefined : readKeyFile(keyFile, (message) => out.warn(message));
  const start = (passphrase?: string): ReturnType<typeof startInBackground> =>
    startInBackground({
      args: withOptions(withoutSecrets(process.argv.slice(2)), [
        '--foreground',
        '--quiet',
        '--repo',
        isPath ? resolve(place) : place,
        ...(keyFile === undefined ? [] : ['--key-file', resolve(keyFile)]),
      ]),
      secrets: { ...(passphrase === undefined ? {} : { passphrase }), ...(key === undefined ? {} : { keyFile: key }) },
      stateDir: stateFolder(id, (message) => out.warn(message)),
      signal: run.signal,
    });
  const needsPassphrase = key === undefined || (await keyFileNeedsPassphrase(key, keyFile!));
  const started = await (needsPassphrase ? openWithPassphrase(run, keyFile ?? place, start) : start());
  out.record('mounted', { mountpoint: started.mountpoint, driver: started.driver, pid: started.pid, log: started.log });
  out.info(`Mounted at ${mountpoint}; what goes wrong there is told in ${started.log}`);
  out.info(`Look into ${mountpoint}/latest. Unmount with: varve umount ${mountpoint}`);
}

/** Arguments with further options, of which earlier ones of the same name lose: at the end, or before the `--` that ends options. */
function withOptions(argv: readonly string[], options: readonly string[]): string[] {
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
  return [...argv.slice(0, end), ...options, ...argv.slice(end)];
}

/** Arguments without those that say where the passphrase is: it is known by now, and comes over a pipe. */
function withoutSecrets(argv: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i]!;
    if (/^(-p|--password-file|--password-command)$/.test(argument)) i++;
    else if (!/^(-p.|--password-file=|--password-command=|--json$)/.test(argument)) kept.push(argument);
  }
  return kept;
}
