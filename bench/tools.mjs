// The table of tools: for each, the command line of every job the rows ask for. `repo` is one repository of one tool:
// { path, home, passwordFile, keyFile, archive } with `home` for caches and state, and `archive` the number of the last snapshot.
// Nothing here runs anything but version look-ups.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { trixieRestic } from './restic-trixie.mjs';

function output(argv, env = {}) {
  const run = spawnSync(argv[0], argv.slice(1), { encoding: 'utf8', env: { ...process.env, ...env } });
  return run.status === 0 ? run.stdout.trim().split('\n')[0] : undefined;
}

/** First of `candidates` that exists. */
const firstThat = (...candidates) => candidates.find((path) => existsSync(path));

function varve(options) {
  const cli = [process.execPath, options.varve];
  const on = (repo, verb, ...rest) => [...cli, verb, '-r', repo.path, '--key-file', repo.keyFile, ...rest];
  return {
    name: 'varve',
    version: () =>
      existsSync(options.varve)
        ? `varve ${output([...cli, '--version']) || '(version unknown)'}, node ${process.version}`
        : undefined,
    secret: 'key file, no passphrase',
    env: (repo) => ({ VARVE_CACHE_DIR: join(repo.home, 'cache'), VARVE_STATE_DIR: join(repo.home, 'state') }),
    init: (repo) => on(repo, 'init'),
    backup: (repo, path) => on(repo, 'backup', '-q', path),
    // an ordinary large file: content-defined chunks
    backupImage: (repo, file) => on(repo, 'backup', '-q', file),
    // again, reading every byte although size and times are as they were
    rereadImage: (repo, file) => on(repo, 'backup', '-q', '--force', file),
    restore: (repo, target) => on(repo, 'restore', '-q', 'latest', '--target', target),
    check: (repo) => on(repo, 'check', '-q', '--read-data'),
    mount: (repo, mountpoint) => on(repo, 'mount', '-f', mountpoint),
    mountedTree: (mountpoint, source) => firstThat(join(mountpoint, 'latest', source)),
    mountedImage: (mountpoint, file) => firstThat(join(mountpoint, 'latest', file)),
  };
}

function restic(name, program) {
  const on = (repo, verb, ...rest) => [program, verb, '-q', '-r', repo.path, '--password-file', repo.passwordFile, ...rest];
  return {
    name,
    version: () => output([program, 'version']),
    secret: 'passphrase (scrypt on every command)',
    env: (repo) => ({ RESTIC_CACHE_DIR: join(repo.home, 'cache') }),
    init: (repo) => on(repo, 'init'),
    backup: (repo, path) => on(repo, 'backup', path),
    backupImage: (repo, file) => on(repo, 'backup', file),
    rereadImage: (repo, file) => on(repo, 'backup', '--force', file),
    restore: (repo, target) => on(repo, 'restore', 'latest', '--target', target),
    check: (repo) => on(repo, 'check', '--read-data'),
    mount: (repo, mountpoint) => on(repo, 'mount', mountpoint),
    mountedTree: (mountpoint, source) => firstThat(join(mountpoint, 'snapshots', 'latest', source)),
    mountedImage: (mountpoint, file) => firstThat(join(mountpoint, 'snapshots', 'latest', file)),
  };
}

function borg() {
  const last = (repo) => `${repo.path}::a${repo.archive}`;
  const next = (repo) => `${repo.path}::a${repo.archive + 1}`;
  return {
    name: 'borg',
    version: () => output(['borg', '--version']),
    secret: 'passphrase (repokey-blake2), zstd,3',
    env: (repo) => ({
      BORG_BASE_DIR: repo.home,
      BORG_PASSCOMMAND: `cat ${repo.passwordFile}`,
      BORG_RELOCATED_REPO_ACCESS_IS_OK: 'yes',
    }),
    init: (repo) => ['borg', 'init', '-e', 'repokey-blake2', repo.path],
    backup: (repo, path) => ['borg', 'create', '-C', 'zstd,3', next(repo), path],
    backupImage: (repo, file) => ['borg', 'create', '-C', 'zstd,3', next(repo), file],
    rereadImage: (repo, file) => ['borg', 'create', '-C', 'zstd,3', '--files-cache=disabled', next(repo), file],
    restore: (repo) => ['borg', 'extract', last(repo)],
    check: (repo) => ['borg', 'check', '--verify-data', repo.path],
    mount: (repo, mountpoint) => ['borg', 'mount', '-f', last(repo), mountpoint],
    mountedTree: (mountpoint, source) => firstThat(join(mountpoint, source)),
    mountedImage: (mountpoint, file) => firstThat(join(mountpoint, file)),
  };
}

/** The tools asked for, in the order asked. A tool that is not there stays in, and its rows are reported as failed. */
export function chooseTools(options) {
  return options.tools.map((name) => {
    if (name === 'varve') return varve(options);
    if (name === 'restic') return restic('restic', (options.download && trixieRestic()) || 'restic');
    if (name === 'restic-debian') return restic('restic-debian', 'restic');
    if (name === 'borg') return borg();
    throw new Error(`no tool called ${name}`);
  });
}
