/**
 * One serving thread of the kernel driver: waits in read(2) on the FUSE descriptor, answers, and waits again, until the connection ends.
 * Its event loop does not turn meanwhile; what it has to say goes out by postMessage, and what it must hear comes as an errno of read.
 */
import { readSync, writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { native } from '../native.js';
import type { FileSystem } from './driver.js';
import { frame, OUT_HEADER_BYTES } from './fuse-protocol.js';
import { isSlow, MAX_REPLY_DATA_BYTES, refuseRequest, serveRequest } from './fuse-session.js';
import { loadSource } from './load-source.js';
import { limitLog } from './log-limit.js';
import { Turn } from './turn.js';

/** What a thread is given at its start: the module that opens its FileSystem, which it loads at once. */
export interface WorkerStart {
  readonly file: string;
}

/** What the driver asks of a thread: first to open its FileSystem, then to serve a descriptor. Undefined in place of either: to end. */
export type WorkerRequest =
  | {
      readonly kind: 'open';
      readonly data: unknown;
      readonly defaultPermissions: boolean;
      /** One Int32; nonzero: refuse the next request and end. */
      readonly stop: SharedArrayBuffer;
      /** Of a Turn: which thread reads requests. */
      readonly turn: SharedArrayBuffer;
    }
  | { readonly kind: 'serve'; readonly fd: number };
type OpenRequest = Extract<WorkerRequest, { kind: 'open' }>;

/** What a thread tells the driver: the FileSystem is open, INIT was answered, a line for the log, how the loop ended. */
export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'serving' }
  | { readonly kind: 'log'; readonly message: string }
  | { readonly kind: 'ended'; readonly why: 'unmounted' | 'aborted' };

/** The largest request a read-only server gets is a SETXATTR of 64 KiB, which the kernel refuses by itself when it does not fit. */
const REQUEST_BYTES = 32 * 1024;

/**
 * Serves `fd` until its connection ends. Blocks the thread. A thread keeps the turn to read while requests come one after another, so that one client has one
 * warm thread, and gives it away before it answers when more requests wait or this one may take long.
 */
function serve(fs: FileSystem, fd: number, start: OpenRequest, tell: (message: WorkerMessage) => void): 'unmounted' | 'aborted' {
  const stop = new Int32Array(start.stop);
  const turn = new Turn(start.turn);
  const request = frame(new Uint8Array(REQUEST_BYTES));
  const out = frame(new Uint8Array(OUT_HEADER_BYTES + MAX_REPLY_DATA_BYTES));
  const onLog = limitLog((message) => tell({ kind: 'log', message }));
  let initialized = false;
  const options = { defaultPermissions: start.defaultPermissions, onLog, onInit: () => (initialized = true) };
  try {
    for (;;) {
      turn.take();
      let length: number;
      try {
        length = readSync(fd, request.bytes);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'ENODEV') return 'unmounted';
        if (code === 'ECONNABORTED') return 'aborted';
        // ENOENT: the request was taken back between its announcement and this read.
        if (code === 'EINTR' || code === 'EAGAIN' || code === 'ENOENT') continue;
        throw error;
      }
      if (isSlow(request) || native().hasInput(fd)) turn.give();
      const stopping = Atomics.load(stop, 0) !== 0;
      const reply = stopping ? refuseRequest(request, out) : serveRequest(fs, options, request, length, out);
      if (reply > 0) send(fd, out.bytes, reply, onLog);
      if (stopping) return 'aborted';
      if (initialized) {
        initialized = false;
        tell({ kind: 'serving' });
      }
    }
  } finally {
    turn.give();
  }
}

function send(fd: number, bytes: Uint8Array, length: number, onLog: (message: string) => void): void {
  try {
    writeSync(fd, bytes, 0, length);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // ENOENT: whoever asked was killed; ENODEV: the mount is gone, which the next read reports.
    if (code !== 'ENOENT' && code !== 'ENODEV' && code !== 'ECONNABORTED') onLog(`the kernel refused a reply: ${message}`);
  }
}

async function main({ file }: WorkerStart): Promise<void> {
  const port = parentPort;
  if (port === null) return;
  const tell = (message: WorkerMessage): void => port.postMessage(message);
  const module = await loadSource(file);
  let opened: { readonly fs: FileSystem; readonly start: OpenRequest } | undefined;
  port.on('message', (request: WorkerRequest | undefined) => {
    if (request?.kind === 'open') {
      opened = { fs: module.openFileSystem(request.data), start: request };
      tell({ kind: 'ready' });
      return;
    }
    try {
      if (request !== undefined && opened !== undefined)
        tell({ kind: 'ended', why: serve(opened.fs, request.fd, opened.start, tell) });
    } finally {
      opened?.fs.close();
      port.close();
    }
  });
}

void main(workerData as WorkerStart);
