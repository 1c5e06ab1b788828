/** The vault as a process of its own: init, backup, restore, check and status through its sockets and through a real OpenSSH server with forced commands. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { freePort } from '../helpers/free-port.js';
import { MAIN, place, serve } from '../helpers/vault-process.js';

t.test('init, backup, restore, check, dump and status through the sockets of a vault', async (t) => {
  const it = await place(t);
  const vault = await serve(t, it);
  const at = (role: 'writer' | 'reader' | 'admin'): string => `vault:${it.sockets[role]}`;
  const keyFile = join(it.folder, 'key');
  const made = it.run(['init', '-r', at('admin'), '--key-file', keyFile]);
  t.equal(made.status, 0, made.stderr);
  const withKey = ['--key-file', keyFile];
  const source = join(it.folder, 'source');
  mkdirSync(source);
  for (let i = 0; i < 30; i++) writeFileSync(join(source, `f${i}`), `line ${i}\n`.repeat(1 + i * 997));
  const backup = it.run(['backup', '-r', at('writer'), ...withKey, source]);
  t.equal(backup.status, 0, backup.stderr);
  t.equal(it.run(['serve', '-r', it.repo, '--state', join(it.folder, 'other')]).status, 11, 'a second vault finds it busy');

  const target = join(it.folder, 'target');
  const restored = it.run(['restore', '-r', at('reader'), ...withKey, `latest:${source}`, '--target', target]);
  t.equal(restored.status, 0, restored.stderr);
  const difference = spawnSync('diff', ['-r', source, existsSync(join(target, 'f1')) ? target : join(target, source)], {
    encoding: 'utf8',
  });
  t.equal(difference.stdout + difference.stderr, '', 'what is restored is what was backed up');
  const check = it.run(['check', '-r', at('reader'), ...withKey, '--read-data']);
  t.equal(check.status, 0, check.stdout + check.stderr);
  t.equal(
    it.run(['dump', '-r', at('reader'), ...withKey, `latest:${source}/f7`]).stdout,
    readFileSync(join(source, 'f7'), 'utf8'),
  );
  t.equal(
    it.run(['restore', '-r', at('writer'), ...withKey, 'latest', '--target', join(it.folder, 'no')]).status,
    17,
    'a writer reads nothing back',
  );
  const status = JSON.parse(it.run(['status', '-r', at('reader'), ...withKey, '--json']).stdout);
  t.match(status, { level: 'advisory', vault: { certified: true }, streams: [{ overdue: false }], holds: [] });
  t.match(status.why, /this very user/, 'nothing is claimed that is not so');

  vault.kill('SIGKILL');
  await once(vault, 'exit');
  t.equal(it.run(['snapshots', '-r', at('reader'), ...withKey]).status, 10, 'nobody answers');
  await serve(t, it);
  t.equal(
    it.run(['backup', '-r', at('writer'), ...withKey, source]).status,
    0,
    'after a kill it starts again over its own sockets and lock',
  );
  const mountpoint = join(it.folder, 'mnt');
  mkdirSync(mountpoint);
  if (existsSync('/dev/fuse') && process.getuid?.() === 0) {
    const mounted = it.run(['mount', '-r', at('reader'), ...withKey, mountpoint]);
    t.equal(mounted.status, 0, mounted.stderr);
    try {
      t.equal(
        spawnSync('cat', [join(mountpoint, 'latest', source, 'f9')], { encoding: 'utf8' }).stdout,
        readFileSync(join(source, 'f9'), 'utf8'),
      );
    } finally {
      t.equal(it.run(['umount', mountpoint]).status, 0);
    }
  } else t.pass('mounted through the vault', { skip: 'no /dev/fuse, or not root' });
});

t.test('a forced command that is wrong, or finds no vault, says so as any command does', async (t) => {
  const it = await place(t);
  const stdio = ['serve', '--stdio', '--state', join(it.folder, 'nowhere')];
  for (const [args, status, why] of [
    [['--role', 'writer'], 10, /no vault runs/],
    [['--role', 'nobody'], 2, /nobody/],
    [[], 2, /--role/],
    [['--role', 'reader', '--writer', '0'.repeat(32)], 2, /--writer/],
    [['--role', 'writer', '--writer', 'me'], 2, /author id/],
    [['--role', 'writer', '--what'], 2, /--what/],
  ] as const) {
    const run = it.run([...stdio, ...args]);
    t.equal(run.status, status, args.join(' '));
    t.match(run.stderr, why);
  }
});

const SSHD = ['/usr/sbin/sshd', '/usr/local/sbin/sshd'].find(existsSync);

t.test(
  'over SSH the forced command decides the role and the writer',
  { skip: SSHD === undefined ? 'no sshd here' : false },
  async (t) => {
    const it = await place(t);
    await serve(t, it);
    const keyFile = join(it.folder, 'key');
    const admin = `vault:${it.sockets.admin}`;
    t.equal(it.run(['init', '-r', admin, '--key-file', keyFile]).status, 0);
    const keys: Record<string, string> = {};
    const lines: string[] = [];
    const ssh = join(it.folder, 'ssh');
    mkdirSync(ssh, { mode: 0o700 });
    const keygen = (file: string): void => void spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
    keygen(join(ssh, 'host'));
    for (const [name, flags] of [
      ['writer', '--role writer'],
      ['other', `--role writer --writer ${'0'.repeat(32)}`],
      ['reader', '--role reader'],
    ] as const) {
      keys[name] = join(ssh, name);
      keygen(keys[name]);
      const command = `${process.execPath} ${MAIN} serve --stdio --state ${it.state} ${flags}`;
      lines.push(`restrict,command="${command}" ${readFileSync(`${keys[name]}.pub`, 'utf8').trim()}`);
    }
    writeFileSync(join(ssh, 'authorized_keys'), `${lines.join('\n')}\n`, { mode: 0o600 });
    const port = await freePort();
    writeFileSync(
      join(ssh, 'sshd_config'),
      `Port ${port}\nListenAddress 127.0.0.1\nHostKey ${join(ssh, 'host')}\nPidFile ${join(ssh, 'pid')}\nAuthorizedKeysFile ${join(ssh, 'authorized_keys')}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nLogLevel ERROR\n`,
    );
    chmodSync(ssh, 0o700);
    if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    const sshd = spawn(SSHD!, ['-D', '-e', '-f', join(ssh, 'sshd_config')], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    sshd.stderr.on('data', (text: Buffer) => {
      said += text.toString();
    });
    t.teardown(async () => {
      sshd.kill();
      if (sshd.exitCode === null && sshd.signalCode === null) await once(sshd, 'exit');
    });
    const at = `ssh://${userInfo().username}@127.0.0.1:${port}/any/path`;
    const as = (name: string): NodeJS.ProcessEnv => ({
      VARVE_SSH: `ssh -F none -i ${keys[name]} -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR`,
    });
    const source = join(it.folder, 'source');
    mkdirSync(source);
    writeFileSync(join(source, 'f'), Buffer.alloc(3_000_000, 'some content '));
    let backup = it.run(['backup', '-r', at, '--key-file', keyFile, source], as('writer'));
    for (let i = 0; i < 20 && /refused/i.test(backup.stderr); i++) {
      await sleep(200);
      backup = it.run(['backup', '-r', at, '--key-file', keyFile, source], as('writer'));
    }
    t.equal(backup.status, 0, `${backup.stderr}${said}`);
    const other = it.run(['backup', '-r', at, '--key-file', keyFile, source], as('other'));
    t.equal(other.status, 13, other.stderr);
    t.match(other.stderr, /another/, 'a fixed writer brings its own only');
    t.equal(it.run(['backup', '-r', at, '--key-file', keyFile, source], as('reader')).status, 17, 'a reader stores nothing');
    const restored = it.run(
      ['restore', '-r', at, '--key-file', keyFile, `latest:${source}`, '--target', join(it.folder, 'target')],
      as('reader'),
    );
    t.equal(restored.status, 0, restored.stderr);
    const status = JSON.parse(it.run(['status', '-r', at, '--key-file', keyFile, '--json'], as('reader')).stdout);
    t.match(status, { level: 'guarded', why: /this very machine/ });
    const wrong = it.run(['snapshots', '-r', at, '--key-file', keyFile], {
      VARVE_SSH: `${as('writer').VARVE_SSH} -o PubkeyAuthentication=no`,
    });
    t.equal(wrong.status, 10, 'without a key nobody gets in');
    t.match(wrong.stderr, /denied/i, 'ssh says why');
  },
);
