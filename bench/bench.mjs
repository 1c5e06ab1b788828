// What rows work with: the scratch folder, each tool's repositories and their state, and backups into them. Everything made here lies
// below the scratch folder and is removed at the end.
import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, opendirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { corpus } from './corpora.mjs';
import { must, settle, timed, warm } from './measure.mjs';

/** Regular files below `path` and the sum of their sizes. */
export function contents(path) {
  let files = 0;
  let bytes = 0;
  const pending = [path];
  while (pending.length > 0) {
    const at = pending.pop();
    const info = lstatSync(at);
    if (info.isFile()) {
      files += 1;
      bytes += info.size;
    } else if (info.isDirectory()) {
      const folder = opendirSync(at);
      for (let entry = folder.readSync(); entry !== null; entry = folder.readSync()) pending.push(join(at, entry.name));
      folder.closeSync();
    }
  }
  return { files, bytes };
}

export class Bench {
  constructor(options) {
    this.options = options;
    if (options.scratch !== undefined) mkdirSync(options.scratch, { recursive: true });
    this.scratch = mkdtempSync(join(options.scratch ?? tmpdir(), 'varve-bench-'));
    this.work = join(this.scratch, 'work');
    mkdirSync(this.work);
    this.repositories = new Map();
    this.imageHeld = undefined;
    this.imageCopies = 0;
    this.cleanups = new Set();
  }

  corpus(name) {
    return corpus(this.options, name);
  }

  close() {
    for (const cleanup of [...this.cleanups].reverse()) cleanup();
    rmSync(this.scratch, { recursive: true, force: true });
  }

  /** Runs a tool's command on a repository, timed. */
  run(tool, repo, argv, more = {}) {
    return timed(argv, { env: tool.env(repo), timeoutS: this.options.timeoutS, ...more });
  }

  /** An initialised, empty repository of `tool`; an earlier one of that name is removed. */
  async freshRepository(tool, name) {
    const folder = join(this.scratch, tool.name, name);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const repo = {
      path: join(folder, 'repo'),
      home: join(folder, 'home'),
      passwordFile: join(folder, 'password'),
      keyFile: join(folder, 'key'),
      archive: 0,
    };
    mkdirSync(repo.home);
    writeFileSync(repo.passwordFile, randomBytes(16).toString('hex'), { mode: 0o600 });
    this.repositories.delete(`${tool.name}/${name}`);
    await must(tool.init(repo), { env: tool.env(repo), timeoutS: this.options.timeoutS });
    if (!existsSync(repo.path)) throw new Error(`${tool.name} init succeeded and made nothing at ${repo.path}`);
    repo.storedMB = contents(repo.path).bytes / 1e6;
    this.repositories.set(`${tool.name}/${name}`, repo);
    return repo;
  }

  /** Timed backup with `argv` (a command of `tool` for `repo`), and what is stored afterwards. */
  async backup(tool, repo, argv) {
    settle();
    const run = await this.run(tool, repo, argv);
    repo.archive += 1;
    run.storedMB = contents(repo.path).bytes / 1e6;
    if (run.storedMB <= repo.storedMB) throw new Error(`${tool.name} backup succeeded and stored nothing`);
    repo.storedMB = run.storedMB;
    return run;
  }

  /** The repository `name` of `tool` with a snapshot in it: that of an earlier row, or one made by `fill` now, untimed. */
  async repository(tool, name, fill) {
    const known = this.repositories.get(`${tool.name}/${name}`);
    if (known !== undefined && known.archive > 0) return known;
    const repo = await this.freshRepository(tool, name);
    await fill(repo);
    return repo;
  }

  async treeRepository(tool, name) {
    const [source] = this.corpus(name);
    return this.repository(tool, name, (repo) => this.backup(tool, repo, tool.backup(repo, source)));
  }

  /** The one file that stands for the disk image, holding image 1 or 2. Rows that back it up warm it. */
  async image(number) {
    const file = join(this.work, 'vm.img');
    if (this.imageHeld !== number || !existsSync(file)) {
      rmSync(file, { force: true });
      await must(['cp', '--sparse=always', this.corpus('vm')[number - 1], file]);
      this.imageHeld = number;
      this.imageCopies += 1;
    }
    await warm(file);
    return file;
  }

  /** Timed backup of image 1 or 2. `command` names the tool's command. */
  async backupImage(tool, repo, number, command = 'backupImage') {
    const file = await this.image(number);
    const run = await this.backup(tool, repo, tool[command](repo, file));
    repo.image = number;
    repo.imageCopy = this.imageCopies;
    return run;
  }

  /** A repository whose last snapshot is of image 1 only, or of image 2 after image 1. */
  async imageRepository(tool, last) {
    let repo = this.repositories.get(`${tool.name}/image`);
    if (repo === undefined || repo.image === undefined || repo.image > last) {
      repo = await this.freshRepository(tool, 'image');
      await this.backupImage(tool, repo, 1);
    }
    if (last === 2 && repo.image === 1) await this.backupImage(tool, repo, 2);
    return repo;
  }
}
