/** The kernel driver on real mounts: the contract of all drivers, then what only it does: ordinary users, permissions and ACLs, read-ahead. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findFusermount } from '../../lib/mount/attach.js';
import { kernelDriver } from '../../lib/mount/kernel.js';
import { mountAt } from '../../lib/mount/mount-table.js';
import { mountContract, place, run, serverArgs } from '../contract/mount.js';

const NOBODY = 65_534;
const missing = kernelDriver.unavailable() ?? (process.geteuid?.() === 0 ? undefined : 'only root can become another user');
const asNobody = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'];

mountContract(kernelDriver);

t.test('as root the read-ahead is what was asked for', { skip: missing ?? false }, async (t) => {
  const at = place(t);
  const mounted = await at.mount(kernelDriver, {}, { readAheadKib: 2048 });
  const device = mountAt(at.mountpoint)?.device;
  t.equal(readFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, 'utf8').trim(), '2048');
  await mounted.unmount();
});

t.test(
  'other users see what mode bits and ACLs let them, and nothing without allowOther',
  { skip: missing ?? false },
  async (t) => {
    const at = place(t);
    chmodSync(at.folder, 0o755);
    const cat = (name: string): ReturnType<typeof run> => run('setpriv', [...asNobody, 'cat', join(at.mountpoint, name)]);
    const open = await at.mount(kernelDriver, {}, { allowOther: true });
    t.equal((await cat('hello.txt')).stdout, 'hello\n');
    t.match((await cat('private')).stderr, /Permission denied/);
    t.match((await cat('nested/deeper/leaf')).stderr, /Permission denied/);
    t.match((await cat('acl-denies')).stderr, /Permission denied/, 'the group bits are only the mask');
    t.equal((await cat('acl-grants')).stdout, 'CC', 'a user named in the ACL may read');
    await open.unmount();
    const closed = await at.mount(kernelDriver);
    t.match((await cat('hello.txt')).stderr, /Permission denied/);
    await closed.unmount();
  },
);

t.test('without defaultPermissions whoever may enter may read all', { skip: missing ?? false }, async (t) => {
  const at = place(t);
  chmodSync(at.folder, 0o755);
  const mounted = await at.mount(kernelDriver, {}, { allowOther: true, defaultPermissions: false });
  t.equal((await run('setpriv', [...asNobody, 'cat', join(at.mountpoint, 'private')])).stdout, 'AAA');
  await mounted.unmount();
});

const noUser = missing ?? (findFusermount() === undefined ? 'fusermount3 is not installed' : undefined);

t.test('an ordinary user mounts and unmounts with fusermount3', { skip: noUser ?? false }, async (t) => {
  const at = place(t);
  chmodSync(at.folder, 0o755);
  chownSync(at.mountpoint, NOBODY, NOBODY);
  const server = serverArgs(at, kernelDriver);
  if (spawnSync('setpriv', [...asNobody, 'test', '-r', server[0] ?? '']).status !== 0) {
    t.pass('skipped: this checkout is not readable by an ordinary user');
    return;
  }
  // In a mount namespace of its own, with a /dev/fuse that everyone may open, as it is on most systems.
  const becomeUser = `
    set -e
    mount -t tmpfs none /mnt
    mknod /mnt/fuse c 10 229
    chmod 666 /mnt/fuse
    mount --bind /mnt/fuse /dev/fuse
    chmod 777 /mnt
    exec setpriv ${asNobody.join(' ')} sh -c "$1" sh "$2" "$3" "$4" "$5"`;
  // NODE_OPTIONS: the test runner's hooks write into the checkout, which this user may not.
  const asUser = (end: string): string => `
    unset NODE_OPTIONS
    cd /
    "$2" "$3" "$4" > /mnt/said &
    server=$!
    for i in $(seq 50); do grep -q mounted /mnt/said && break; sleep 0.2; done
    cat "$1/hello.txt"
    stat -c '%u' "$1/private"
    cat "$1/private" 2>&1
    grep -o "$1 fuse[^ ]* [^ ]*" /proc/mounts
    ${end}
    wait $server
    echo "status $?"
    grep -c "$1 " /proc/mounts`;
  const ran = async (end: string): Promise<{ stdout: string; stderr: string }> =>
    run('unshare', ['-m', 'sh', '-c', becomeUser, 'sh', asUser(end), at.mountpoint, process.execPath, ...server]);

  for (const end of ['kill $server', 'fusermount3 -u "$1"']) {
    const { stdout, stderr } = await ran(end);
    t.match(stdout, /^hello\n1234\n.*Permission denied\n/, stderr);
    t.match(stdout, /fuse\.varve ro,nosuid,nodev,.*user_id=65534/);
    t.match(stdout, /status 0\n0\n$/, `ended by ${end} ${stderr}`);
  }

  t.test('and when a serving thread dies, the mount is dead for that user too', async (t) => {
    const { stdout, stderr } = await ran('cat "$1/dies.bin" 2>/dev/null; wait $server; echo "status $?"; ls "$1" 2>&1');
    t.match(stdout, /status 9\n.*not connected/);
    t.match(stderr, /died/);
  });
});
