/**
 * The kernel driver: mounts through /dev/fuse and serves it from worker threads that speak the kernel's protocol themselves. The main
 * thread only mounts, unmounts and listens, so a busy event loop never stalls the mount. Linux only.
 */
import { closeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { MountError } from '../errors.js';
import { workerFile } from '../native.js';
import { abortConnection, attach, detach, poke, raiseReadAhead, whyNoFuse } from './attach.js';
import type { FileSystemSource, MountDriver, Mounted, MountOptions } from './driver.js';
import { MAX_REPLY_DATA_BYTES } from './fuse-session.js';
import type { WorkerMessage, WorkerStart } from './kernel-worker.js';
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

/** The threads of one mount and how each of them ended. */
interface Crew {
  readonly workers: readonly Worker[];
  readonly stop: Int32Array;
  /** All have opened their FileSystem. Rejects when one cannot. */
  readonly ready: Promise<void>;
  /** INIT was answered. */
  readonly serving: Promise<void>;
  /** All are gone: undefined, or the first failure. */
  readonly ended: Promise<Error | undefined>;
  /** Called once, when a thread ends in another way than by the end of the connection. */
  onBroken: () => void;
}

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
    for (const worker of crew.workers) worker.postMessage(undefined);
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
    for (let i = 0; i < crew.workers.length; i++) poke(mountpoint);
  };
  crew.onBroken = abort;
  // process.exit() waits for threads, and these wait for the kernel.
  process.on('exit', abort);
  for (const worker of crew.workers) worker.postMessage(fd);

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

function startCrew(source: FileSystemSource, options: MountOptions): Crew {
  const shared = new SharedArrayBuffer(4);
  const workerData: WorkerStart = { source, defaultPermissions: options.defaultPermissions, stop: shared };
  const workers: Worker[] = [];
  const readiness: Promise<void>[] = [];
  const endings: Promise<Error | undefined>[] = [];
  let serving = (): void => undefined;
  const crew: Crew = {
    workers,
    stop: new Int32Array(shared),
    serving: new Promise((resolve) => (serving = resolve)),
    ready: Promise.resolve(),
    ended: Promise.resolve(undefined),
    onBroken: () => undefined,
  };
  for (let i = 0; i < Math.max(1, options.threads); i++) {
    const worker = new Worker(workerFile('lib/mount/kernel-worker'), { workerData, execArgv: [], name: `varve-mount-${i}` });
    workers.push(worker);
    let why: 'unmounted' | 'aborted' | undefined;
    let failure: Error | undefined;
    readiness.push(
      new Promise((resolve, reject) => {
        worker.on('message', (message: WorkerMessage) => {
          if (message.kind === 'ready') resolve();
          else if (message.kind === 'serving') serving();
          else if (message.kind === 'log') options.onLog(message.message);
          else why = message.why;
        });
        worker.once('error', reject);
        worker.once('exit', () => reject(new Error('a serving thread ended before it began')));
      }),
    );
    endings.push(
      new Promise((resolve) => {
        worker.once('error', (error) => (failure = error));
        worker.once('exit', (code) => {
          if (why === undefined) {
            failure ??= new Error(`a serving thread ended with status ${code}`);
            crew.onBroken();
          }
          resolve(why === undefined ? failure : undefined);
        });
      }),
    );
  }
  const ready = Promise.all(readiness).then(() => undefined);
  ready.catch(() => undefined);
  const ended = Promise.all(endings).then((failures) => failures.find((failure) => failure !== undefined));
  return Object.assign(crew, { ready, ended });
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
