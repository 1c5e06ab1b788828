// The restic of Debian trixie, unpacked into a cache folder beside the system and never installed: apt fetches it with a configuration,
// lists and cache of its own, so that the machine's sources stay as they are.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Path of the program, or undefined with a line on stderr saying why it cannot be had. */
export function trixieRestic() {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'varve-bench');
  const program = join(cache, 'restic-trixie', 'usr', 'bin', 'restic');
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, '.restic-'));
  try {
    for (const folder of ['lists/partial', 'cache/archives/partial', 'sources'])
      mkdirSync(join(work, folder), { recursive: true });
    writeFileSync(
      join(work, 'sources', 'trixie.sources'),
      `Types: deb\nURIs: http://deb.debian.org/debian\nSuites: trixie\nComponents: main\nSigned-By: ${KEYRING}\n`,
    );
    const settings = {
      'Dir::Etc::sourcelist': '/dev/null',
      'Dir::Etc::sourceparts': join(work, 'sources'),
      'Dir::State::lists': join(work, 'lists'),
      'Dir::Cache': join(work, 'cache'),
    };
    const apt = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
    run(work, 'apt-get', '-q', ...apt, 'update');
    run(work, 'apt-get', '-q', ...apt, 'download', 'restic');
    const deb = readdirSync(work).find((name) => /^restic_.*\.deb$/.test(name));
    run(work, 'dpkg-deb', '-x', deb, 'unpacked');
    run(work, join(work, 'unpacked', 'usr', 'bin', 'restic'), 'version');
    renameSync(join(work, 'unpacked'), join(cache, 'restic-trixie'));
    return program;
  } catch (error) {
    console.error(`bench: no restic from trixie, the installed one is used: ${error.message}`);
    return undefined;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function run(cwd, program, ...argv) {
  const { status, stderr, error } = spawnSync(program, argv, { cwd, encoding: 'utf8', timeout: 180_000 });
  if (status !== 0) throw new Error(`${program} ${argv.at(-1)}: ${error?.message ?? stderr.trim().split('\n').at(-1)}`);
}
