/**
 * Loads the package fuse-native and mends what can be mended from outside: its libfuse is found, read-only and inode options reach it, and
 * extended attributes answer ERANGE. To be used in a process of its own: the package aborts in worker threads, and a throw ends it.
 */
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import type { NativeStat } from './fuse-native-paths.js';

type Callback<T extends unknown[]> = (result: number, ...values: T) => void;

/** The handlers this driver gives to fuse-native: results are 0 (or a count) or a negative errno. */
export interface Handlers {
  getattr(path: string, done: Callback<[NativeStat?]>): void;
  readdir(path: string, done: Callback<[string[]?, NativeStat[]?]>): void;
  readlink(path: string, done: Callback<[string?]>): void;
  open(path: string, flags: number, done: Callback<[number?]>): void;
  read(path: string, fd: number, into: Buffer, length: number, offset: number, done: Callback<[]>): void;
  statfs(path: string, done: Callback<[Record<string, number>?]>): void;
  getxattr(path: string, name: string, position: number, done: Callback<[Uint8Array?]>): void;
  listxattr(path: string, done: Callback<[string[]?]>): void;
  [refused: string]: (...args: never[]) => void;
}

export interface FuseMount {
  mount(done: (error: Error | null) => void): void;
}

type Signal = (result: number, buffer: ArrayBufferLike) => void;

interface FuseBase extends FuseMount {
  ops: Handlers;
}

type FuseClass = new (mountpoint: string, handlers: Handlers, options: { timeout: false }) => FuseBase;

/** dlopen(3) flag that Node has no name for; keeps the library after the failed load below. */
const RTLD_NODELETE = 0x1000;
const ERANGE = 34;
const ENODATA = process.platform === 'darwin' ? 93 : 61;

/**
 * Loads fuse-native and returns a maker of mounts.
 *
 * @throws Error when the package, its libfuse or its addon does not load
 */
export function loadFuseNative(): (mountpoint: string, handlers: Handlers, mountOptions: readonly string[]) => FuseMount {
  const require = createRequire(import.meta.url);
  preloadLibfuse(require);
  const Fuse = require('fuse-native') as FuseClass;

  class VarveFuse extends Fuse {
    readonly #mountOptions: readonly string[];

    constructor(mountpoint: string, handlers: Handlers, mountOptions: readonly string[]) {
      // Its timer per request costs more than it saves: handlers here answer before they return.
      super(mountpoint, handlers, { timeout: false });
      this.#mountOptions = mountOptions;
    }

    /** fuse-native knows neither ro nor use_ino, without which hard links come apart. */
    _fuseOptions(): string {
      return `-o${this.#mountOptions.join(',')}`;
    }

    /** Said as length 0..n, the kernel's buffer may be too small: that is ERANGE, not a longer reply. */
    _op_getxattr(signal: Signal, path: string, name: string, into: Buffer, position: number): void {
      this.ops.getxattr(path, name, position, (result, value) => {
        if (result !== 0 || value === undefined) signal(result === 0 ? -ENODATA : result, into.buffer);
        else signal(fill(into, value), into.buffer);
      });
    }

    _op_listxattr(signal: Signal, path: string, into: Buffer): void {
      this.ops.listxattr(path, (result, names) => {
        if (result !== 0 || names === undefined) signal(result, into.buffer);
        else signal(fill(into, Buffer.from(names.map((name) => `${name}\0`).join(''), 'utf8')), into.buffer);
      });
    }
  }

  return (mountpoint, handlers, mountOptions) => new VarveFuse(mountpoint, handlers, mountOptions);
}

function fill(into: Buffer, value: Uint8Array): number {
  if (into.length === 0) return value.length;
  if (into.length < value.length) return -ERANGE;
  into.set(value);
  return value.length;
}

/**
 * fuse.node needs libfuse.so.2 but says nowhere where it is. Loading the copy that the package ships, as if it were an addon, fails with
 * "did not self-register" and leaves the library loaded under the very name that is looked for.
 */
function preloadLibfuse(require: NodeJS.Require): void {
  try {
    // From where fuse-native itself would find it: npm may have put it beside or below.
    const { lib } = createRequire(require.resolve('fuse-native'))('fuse-shared-library') as { lib: string };
    const { RTLD_NOW, RTLD_GLOBAL } = constants.dlopen;
    process.dlopen({ exports: {} }, lib, (RTLD_NOW ?? 2) | (RTLD_GLOBAL ?? 0x100) | RTLD_NODELETE);
  } catch {
    // Expected. Where it did not help, requiring fuse-native says what is missing.
  }
}
