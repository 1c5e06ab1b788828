/**
 * The serving threads of one mount: started, told what to do, and watched until all are gone. The first thread loads its code while the repository is still
 * being opened, if it was asked for early; the others join once the mount is there, when nobody waits for them.
 */
import { Worker } from 'node:worker_threads';
import { workerFile } from '../native.js';
import type { FileSystemSource, MountOptions } from './driver.js';
import type { WorkerMessage, WorkerRequest, WorkerStart } from './kernel-worker.js';
import { freeTurn, TURN_BYTES } from './turn.js';

/** The threads of one mount and how each of them ended. */
export interface Crew {
  /** Threads there are by now. */
  readonly size: number;
  readonly stop: Int32Array;
  /** The first has opened its FileSystem. Rejects when it cannot. */
  readonly ready: Promise<void>;
  /** INIT was answered. */
  readonly serving: Promise<void>;
  /** All are gone: undefined, or the first failure. */
  readonly ended: Promise<Error | undefined>;
  /** Called once, when a thread ends in another way than by the end of the connection. */
  onBroken: () => void;
  /** Lets the threads serve `fd`, those that join later too. */
  serve(fd: number): void;
  /** Starts the other threads. */
  grow(): void;
  /** Ends threads that do not serve yet. */
  dismiss(): void;
}

/** A thread that was started before anybody mounts. */
let early: { readonly file: string; readonly worker: Worker } | undefined;

/** Starts a thread that loads `file`, for the next mount to use. It does not keep the process alive. */
export function startEarly(file: string): void {
  if (early !== undefined) return;
  const worker = startThread(file);
  worker.unref();
  // What is wrong with it shows in the thread that is started in its place.
  worker.once('error', () => (early = undefined));
  early = { file, worker };
}

function startThread(file: string): Worker {
  const workerData: WorkerStart = { file };
  return new Worker(workerFile('lib/mount/kernel-worker'), { workerData, execArgv: [], name: 'varve-mount' });
}

function takeThread(file: string): Worker {
  if (early?.file !== file) return startThread(file);
  const { worker } = early;
  early = undefined;
  worker.removeAllListeners('error');
  worker.ref();
  return worker;
}

export function startCrew(source: FileSystemSource, options: MountOptions): Crew {
  const stop = new SharedArrayBuffer(4);
  const turn = new SharedArrayBuffer(TURN_BYTES);
  const open: WorkerRequest = {
    kind: 'open',
    data: source.data,
    defaultPermissions: options.defaultPermissions,
    stop,
    turn,
  };
  const workers: Worker[] = [];
  let alive = 0;
  let fd: number | undefined;
  let failure: Error | undefined;
  let serving = (): void => undefined;
  let allGone = (_: Error | undefined): void => undefined;

  const add = (): Promise<void> => {
    const worker = takeThread(source.file);
    workers.push(worker);
    alive++;
    let why: 'unmounted' | 'aborted' | undefined;
    let own: Error | undefined;
    const ready = new Promise<void>((resolve, reject) => {
      worker.on('message', (message: WorkerMessage) => {
        if (message.kind === 'ready') {
          if (fd !== undefined) post(worker, { kind: 'serve', fd });
          resolve();
        } else if (message.kind === 'serving') serving();
        else if (message.kind === 'log') options.onLog(message.message);
        else why = message.why;
      });
      worker.once('error', (error) => {
        own = error;
        reject(error);
      });
      worker.once('exit', (code) => {
        if (why === undefined) {
          own ??= new Error(`a serving thread ended with status ${code}`);
          failure ??= own;
          // First, or nobody would be there to read what wakes the others.
          freeTurn(turn);
          crew.onBroken();
        }
        reject(new Error('a serving thread ended before it began'));
        if (--alive === 0) allGone(failure);
      });
    });
    ready.catch(() => undefined);
    post(worker, open);
    return ready;
  };

  const crew: Crew = {
    get size() {
      return workers.length;
    },
    stop: new Int32Array(stop),
    ready: Promise.resolve(),
    serving: new Promise((resolve) => (serving = resolve)),
    ended: new Promise((resolve) => (allGone = resolve)),
    onBroken: () => undefined,
    serve: (descriptor) => {
      fd = descriptor;
      for (const worker of workers) post(worker, { kind: 'serve', fd });
    },
    grow: () => {
      while (alive > 0 && workers.length < options.threads) void add();
    },
    dismiss: () => {
      for (const worker of workers) post(worker, undefined);
    },
  };
  return Object.assign(crew, { ready: add() });
}

function post(worker: Worker, request: WorkerRequest | undefined): void {
  worker.postMessage(request);
}
