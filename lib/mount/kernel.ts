/**
 * The kernel driver: mounts through /dev/fuse and serves it from worker threads that speak the kernel's protocol themselves. The main
 * thread only mounts, unmounts and listens, so a busy event loop never stalls the mount. Linux only.
 */
import { closeSync } from 'node:fs';
import { MountError } from '../errors.js';
import { abortConnection, attach, detach, poke, raiseReadAhead, whyNoFuse } from './attach.js';
import type { FileSystemSource, MountDriver, Mounted, MountOptions } from './driver.js';
import { MAX_REPLY_DATA_BYTES } from './fuse-session.js';
import { startCrew } from './kernel-crew.js';
import { isMounted, mountAt } from './mount-table.js';
import { prepareMountpoint } from './mountpoint.js';

/** How long the kernel may take to greet a new mount. */
const INIT_TIMEOUT_MS = 10_000;

export const kernelDriver: MountDriver = {
  name: 'kernel',
  unavailable: whyNoFuse,
  limits: [],
  mount,
};

async function mount(source: FileSystemSource, options: MountOptions): Promise<Mounted> {
  const problem = whyNoFuse();
  if (problem !== undefined) throw new MountError(options.mountpoint, problem);
  const mountpoint = await prepareMountpoint(options.mountpoint, options.onLog);
  const crew = startCrew(source, options);
  let fd: number;
  try {
    await crew.ready;
    fd = attach(mountpoint, options, MAX_REPLY_DATA_BYTES);
  } catch (cause) {
    crew.dismiss();
    await crew.ended;
    throw cause instanceof MountError
      ? cause
      : new MountError(mountpoint, `the file system does not open: ${(cause as Error).message}`, cause);
  }

  const device = mountAt(mountpoint)?.device ?? '';
  const abort = (): void => {
    if (abortConnection(mountpoint, device)) return;
    // No way to cut it from here: have every thread end at its next request, and the connection with the last descriptor.
    Atomics.store(crew.stop, 0, 1);
    for (let i = 0; i < crew.size; i++) poke(mountpoint);
  };
  crew.onBroken = () => {
    abort();
    // A thread that was not yet waiting has missed it.
    const again = setInterval(abort, 500);
    void crew.ended.then(() => clearInterval(again));
  };
  // process.exit() waits for threads, and these wait for the kernel.
  process.on('exit', abort);
  crew.serve(fd);

  const finished = crew.ended.then((failure) => {
    process.off('exit', abort);
    closeSync(fd);
    if (failure !== undefined) throw new MountError(mountpoint, `the server of this mount died: ${failure.message}`, failure);
    if (isMounted(mountpoint, device))
      throw new MountError(mountpoint, 'the connection of this mount was cut; it answers nothing any more');
  });
  finished.catch(() => undefined);

  try {
    await inTime(Promise.race([crew.serving, finished]), mountpoint);
  } catch (cause) {
    abort();
    await detach(mountpoint, { lazy: true }).catch(() => undefined);
    throw cause;
  }
  raiseReadAhead(device, options);
  crew.grow();
  return { finished, unmount: ({ lazy = false } = {}) => unmount(mountpoint, device, lazy, finished) };
}

async function unmount(mountpoint: string, device: string, lazy: boolean, finished: Promise<void>): Promise<void> {
  const top = mountAt(mountpoint);
  if (top !== undefined && top.device !== device && isMounted(mountpoint, device)) {
    throw new MountError(mountpoint, 'another file system is mounted over this one; unmount that first');
  }
  if (top?.device === device) await detach(mountpoint, { lazy });
  await finished;
}

async function inTime(work: Promise<void>, mountpoint: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new MountError(mountpoint, 'the kernel did not greet the new mount')), INIT_TIMEOUT_MS);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
