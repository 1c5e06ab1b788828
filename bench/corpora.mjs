// Where the corpora are: ../shared/corpora of the development tree builds what is missing, if it is there. They are read-only here.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const MEMBERS = { linux: ['linux'], ts: [1, 2, 3, 4, 5, 6].map((i) => `ts-${i}`), vm: ['vm-1.img', 'vm-2.img'], tiny: ['tiny'] };

/** Absolute paths of one corpus, built first when it is missing. @throws Error that says what to do */
export function corpus(options, name) {
  const paths = MEMBERS[name].map((member) => join(options.corpora, member));
  if (paths.every((path) => existsSync(path))) return paths;
  const make = resolve(options.root, '..', 'shared', 'corpora', 'make');
  if (!existsSync(make))
    throw new Error(`no ${name} corpus in ${options.corpora} and no ${make} to build it with: give --corpora DIR`);
  console.error(`bench: building the ${name} corpus in ${options.corpora}`);
  const { status, signal } = spawnSync(make, [options.corpora, name], { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`${make} ${name}: exit ${status ?? signal}`);
  return paths;
}

/** Version of the linux tree, which changes with the package's security updates. */
export function linuxVersion(options) {
  try {
    const makefile = readFileSync(join(options.corpora, 'linux', 'Makefile'), 'utf8');
    return ['VERSION', 'PATCHLEVEL', 'SUBLEVEL']
      .map((name) => new RegExp(`^${name} *= *(\\d+)`, 'm').exec(makefile)[1])
      .join('.');
  } catch {
    return undefined;
  }
}
