/**
 * The commands of docs/guide.md, in their order, on this machine: places below `/` become folders of a scratch directory, the vault's host a real OpenSSH server on
 * loopback, and what would make users is left out. A block fails when a command in it fails, or does not end as the page says.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { packageRoot } from '../../lib/native.js';
import { freePort } from '../helpers/free-port.js';

const SSHD = ['/usr/sbin/sshd', '/usr/local/sbin/sshd'].find(existsSync);
const root = packageRoot();

interface Block {
  readonly attributes: ReadonlyMap<string, string>;
  readonly text: string;
}

function blocksOf(page: string): Block[] {
  return [...page.matchAll(/^```sh ?([^\n]*)\n([\s\S]*?)^```$/gm)].map(([, attributes, text]) => ({
    attributes: new Map(
      attributes!
        .split(' ')
        .filter((word) => word !== '')
        .map((word) => word.split('=') as [string, string]),
    ),
    text: text!,
  }));
}

const executable = (file: string, text: string): void => writeFileSync(file, text, { mode: 0o755 });

t.test(
  'the production set-up of docs/guide.md works as it is written',
  { skip: SSHD === undefined ? 'no sshd here' : false },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'varve-guide-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const at = (...parts: string[]): string => join(folder, ...parts);
    for (const one of ['bin', 'ssh', 'media/stick', 'home/me', 'etc/varve', 'data/etc', 'data/home'])
      mkdirSync(at(one), { recursive: true });
    executable(at('bin/varve'), `#!/bin/sh\nexec ${process.execPath} ${join(root, 'dist/cli/main.js')} "$@"\n`);
    executable(at('bin/useradd'), '#!/bin/sh\n');
    executable(at('bin/install'), '#!/bin/sh\n[ "$1 $2 $4" = "-d -o -g" ] || exit 1\nshift 5\nexec /usr/bin/install -d "$@"\n');
    writeFileSync(at('data/etc/hosts'), '127.0.0.1 localhost\n');
    writeFileSync(at('data/home/letter'), 'Dear reader,\n'.repeat(1000));

    const keygen = (file: string): void => void spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file]);
    const keys = { admin: at('media/stick/id_admin'), writer: at('etc/varve/id_writer'), reader: at('home/me/id_reader') };
    for (const file of [at('ssh/host'), ...Object.values(keys)]) keygen(file);
    const port = await freePort();
    const authorized = at('var/lib/varve-vault/.ssh/authorized_keys');
    writeFileSync(
      at('ssh/sshd_config'),
      `Port ${port}\nListenAddress 127.0.0.1\nHostKey ${at('ssh/host')}\nPidFile ${at('ssh/pid')}\nAuthorizedKeysFile ${authorized}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nLogLevel ERROR\n`,
    );
    writeFileSync(
      at('ssh/config'),
      Object.entries(keys)
        .map(
          ([role, file]) =>
            `Host vault-${role}\n  HostName 127.0.0.1\n  Port ${port}\n  User ${userInfo().username}\n  IdentityFile ${file}\n  IdentitiesOnly yes\n  BatchMode yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n`,
        )
        .join(''),
    );
    chmodSync(at('ssh'), 0o700);
    if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    const sshd = spawn(SSHD!, ['-D', '-e', '-f', at('ssh/sshd_config')], { stdio: 'ignore' });
    t.teardown(async () => {
      sshd.kill();
      if (sshd.exitCode === null && sshd.signalCode === null) await once(sshd, 'exit');
    });
    for (let left = 50; left > 0 && !existsSync(at('ssh/pid')); left--) await sleep(100);

    /** The page's places, below the scratch folder. */
    const placed = (text: string): string =>
      text
        .replaceAll('varve backup /etc /home ', `varve backup ${at('data/etc')} ${at('data/home')} `)
        .replaceAll(
          /(?<=[\s"=])\/(srv\/varve|var\/lib\/varve-vault|media\/stick|home\/me|etc\/varve|tmp\/stolen)/g,
          `${folder}/$1`,
        )
        .replaceAll('command=\\"varve ', `command=\\"${at('bin/varve')} `);
    const lines = ['set -eu', 'sleep_until() { for i in $(seq 100); do [ -s "$1" ] && return; sleep 0.2; done; exit 99; }'];
    const blocks = blocksOf(readFileSync(join(root, 'docs/guide.md'), 'utf8'));
    t.ok(blocks.length >= 10, `${blocks.length} blocks`);
    for (const [number, { attributes, text }] of blocks.entries()) {
      const shown = placed(text);
      lines.push(`echo "== block ${number}"`);
      if (attributes.has('background'))
        lines.push(
          `${shown.trimEnd()} > ${at('vault.log')} 2>&1 &`,
          `VAULT=$!; trap 'kill $VAULT; wait $VAULT || true' EXIT`,
          `sleep_until ${at('vault.log')}`,
        );
      else if (attributes.has('status'))
        lines.push(
          `set +e; ${shown.trimEnd()}; GOT=$?; set -e; [ $GOT = ${attributes.get('status')} ] || { echo "ended with $GOT"; exit 98; }`,
        );
      else lines.push(shown.trimEnd());
    }
    const env = {
      PATH: `${at('bin')}:${process.env.PATH}`,
      HOME: at('home/me'),
      VARVE_SSH: `ssh -F ${at('ssh/config')}`,
      VARVE_STATE_DIR: at('state'),
      VARVE_CACHE_DIR: at('cache'),
    };
    const child = spawn('bash', ['-c', lines.join('\n')], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (said += text.toString()));
    const [code] = (await once(child, 'close')) as [number | null];
    t.equal(code, 0, said.slice(-3000));
    t.match(said, /kept until|Kept until/, 'backup says until when');
    t.equal(
      readFileSync(join(at('home/me/restored'), at('data/home/letter')), 'utf8'),
      readFileSync(at('data/home/letter'), 'utf8'),
      'what the laptop restored is what the host backed up',
    );
    t.notOk(existsSync(at('tmp/stolen', at('data'))), 'the writer restored nothing');
  },
);
