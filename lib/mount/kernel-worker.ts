/**
 * One serving thread of the kernel driver: waits in read(2) on the FUSE descriptor, answers, and waits again, until the connection ends.
 * Its event loop does not turn meanwhile; what it has to say goes out by postMessage, and what it must hear comes as an errno of read.
 */
import { readSync, writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parentPort, workerData } from 'node:worker_threads';
import type { FileSystem, FileSystemSource } from './driver.js';
import { frame, OUT_HEADER_BYTES } from './fuse-protocol.js';
import { MAX_REPLY_DATA_BYTES, refuseRequest, serveRequest } from './fuse-session.js';
import { limitLog } from './log-limit.js';

/** What the driver gives a thread at its start. */
export interface WorkerStart {
  readonly source: FileSystemSource;
  readonly defaultPermissions: boolean;
  /** One Int32; nonzero: refuse the next request and end. */
  readonly stop: SharedArrayBuffer;
}

/** What a thread tells the driver: the FileSystem is open, INIT was answered, a line for the log, how the loop ended. */
export type WorkerMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'serving' }
  | { readonly kind: 'log'; readonly message: string }
  | { readonly kind: 'ended'; readonly why: 'unmounted' | 'aborted' };

/** The largest request a read-only server gets is a SETXATTR of 64 KiB, which the kernel refuses by itself when it does not fit. */
const REQUEST_BYTES = 32 * 1024;

/** Serves `fd` until its connection ends. Blocks the thread. */
function serve(fs: FileSystem, fd: number, start: WorkerStart, tell: (message: WorkerMessage) => void): 'unmounted' | 'aborted' {
  const stop = new Int32Array(start.stop);
  const request = frame(new Uint8Array(REQUEST_BYTES));
  const out = frame(new Uint8Array(OUT_HEADER_BYTES + MAX_REPLY_DATA_BYTES));
  const onLog = limitLog((message) => tell({ kind: 'log', message }));
  let initialized = false;
  const options = { defaultPermissions: start.defaultPermissions, onLog, onInit: () => (initialized = true) };
  for (;;) {
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
    const stopping = Atomics.load(stop, 0) !== 0;
    const reply = stopping ? refuseRequest(request, out) : serveRequest(fs, options, request, length, out);
    if (reply > 0) send(fd, out.bytes, reply, onLog);
    if (stopping) return 'aborted';
    if (initialized) {
      initialized = false;
      tell({ kind: 'serving' });
    }
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

async function main(start: WorkerStart): Promise<void> {
  const port = parentPort;
  if (port === null) return;
  const tell = (message: WorkerMessage): void => port.postMessage(message);
  const module = (await import(pathToFileURL(start.source.file).href)) as { openFileSystem(data: unknown): FileSystem };
  const fs = module.openFileSystem(start.source.data);
  port.once('message', (fd: number | undefined) => {
    try {
      if (fd !== undefined) tell({ kind: 'ended', why: serve(fs, fd, start, tell) });
    } finally {
      fs.close();
      port.close();
    }
  });
  tell({ kind: 'ready' });
}

await main(workerData as WorkerStart);
