/**
 * The fuse-native driver: mounts through the package of that name, in a process of its own, because the package aborts in worker threads
 * and takes its process down when a handler throws. It shows less than the kernel driver does; `limits` says what.
 */
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { MountError } from '../errors.js';
import { workerFile } from '../native.js';
import { detach, raiseReadAhead, SUBTYPE, whyNoFuse } from './attach.js';
import type { FileSystemSource, MountDriver, Mounted, MountOptions } from './driver.js';
import type { ServerMessage, ServerStart } from './fuse-native-server.js';
import { isMounted, mountAt } from './mount-table.js';
import { prepareMountpoint } from './mountpoint.js';

/** After an unmount that was not lazy, libfuse should be gone at once; its thread does not always notice. */
const GRACE_MS = 3000;
const SERVER = 'lib/mount/fuse-native-server';

export const FUSE_NATIVE_LIMITS = [
  'times are shown in milliseconds, not nanoseconds',
  'times before 1970 are shown as 1970-01-01',
  'names and symlink targets that are not UTF-8 are shown with replacement characters',
  'inode numbers have 32 bits; only directories and files with several names are sure to have different ones',
  'holes cannot be found with SEEK_HOLE: a sparse file reads as one piece of data',
  'access control lists are shown but not enforced: permission checks see the mode bits only',
  'what changes in a directory shows within a second, whatever its time to live',
  'reads reach the server in pieces of 128 KiB, and every listing asks for each entry again',
  'the mountpoint may not itself be the root of another mount',
] as const;

let probed: string | undefined | false = false;

export const fuseNativeDriver: MountDriver = {
  name: 'fuse-native',
  unavailable,
  limits: FUSE_NATIVE_LIMITS,
  mount,
};

function unavailable(): string | undefined {
  if (process.platform === 'linux') {
    const problem = whyNoFuse();
    if (problem !== undefined) return problem;
  }
  if (probed === false) {
    const result = spawnSync(process.execPath, [workerFile(SERVER), '--probe'], {
      encoding: 'utf8',
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const said = /^(?:\w*Error): (.*)$/m.exec(result.stderr)?.[1] ?? '';
    probed =
      result.status === 0
        ? undefined
        : `the package fuse-native does not load: ${said || result.error?.message || `status ${result.status}`}`;
  }
  return probed;
}

async function mount(source: FileSystemSource, options: MountOptions): Promise<Mounted> {
  const problem = unavailable();
  if (problem !== undefined) throw new MountError(options.mountpoint, problem);
  const mountpoint = await prepareMountpoint(options.mountpoint, options.onLog);
  // The data may hold keys: it goes over the pipe between the two, never on a command line.
  const child = fork(workerFile(SERVER), [], {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    execArgv: [],
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => options.onLog(text.trim()));
  const exited = new Promise<string | undefined>((resolve) => {
    child.once('exit', (status, signal) => resolve(status === 0 ? undefined : signal === null ? `status ${status}` : signal));
  });
  try {
    await started(child, { source, mountpoint, mountOptions: mountOptionsOf(options) }, exited, options.onLog);
  } catch (cause) {
    child.kill('SIGKILL');
    await exited;
    if (mountAt(mountpoint)?.fsType === `fuse.${SUBTYPE}`) await detach(mountpoint, { lazy: true }).catch(() => undefined);
    throw new MountError(mountpoint, `cannot mount: ${(cause as Error).message}`, cause);
  }
  const device = process.platform === 'linux' ? (mountAt(mountpoint)?.device ?? '') : '';
  if (device !== '') raiseReadAhead(device, options);

  let asked = false;
  const finished = exited.then((failure) => {
    if (failure !== undefined && !asked) throw new MountError(mountpoint, `the server of this mount died: ${failure}`);
    if (device !== '' && isMounted(mountpoint, device))
      throw new MountError(mountpoint, 'the connection of this mount was cut; it answers nothing any more');
  });
  finished.catch(() => undefined);
  return {
    finished,
    unmount: async ({ lazy = false } = {}) => {
      const mine = device === '' || mountAt(mountpoint)?.device === device;
      if (mine) await detach(mountpoint, { lazy });
      else if (isMounted(mountpoint, device))
        throw new MountError(mountpoint, 'another file system is mounted over this one; unmount that first');
      if (!lazy) {
        asked = true;
        const timer = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
        await exited;
        clearTimeout(timer);
      }
      await finished;
    },
  };
}

function mountOptionsOf(options: MountOptions): string[] {
  const list = ['ro', 'use_ino', 'readdir_ino', 'nosuid', 'nodev', 'auto_cache', 'entry_timeout=1', 'attr_timeout=1'];
  list.push(`fsname=${options.fsName.replace(/[\\,]/g, '\\$&')}`);
  if (process.platform === 'linux') list.push(`subtype=${SUBTYPE}`, 'nonempty');
  if (options.allowOther) list.push('allow_other');
  if (options.defaultPermissions) list.push('default_permissions');
  return list;
}

/** Sends `start` when the child listens; resolves when it has mounted. */
async function started(
  child: ChildProcess,
  start: ServerStart,
  exited: Promise<string | undefined>,
  onLog: (message: string) => void,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    child.on('message', (message: ServerMessage) => {
      if (message.kind === 'listening') child.send(start);
      else if (message.kind === 'mounted') resolve();
      else if (message.kind === 'failed') reject(new Error(message.message));
      else onLog(message.message);
    });
    child.once('error', reject);
    exited.then((failure) => reject(new Error(`the server ended early: ${failure ?? 'status 0'}`)));
  });
}
