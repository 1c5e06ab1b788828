/** The sources of a backup as one tree of absolute paths below `/`, as in restic: what is named is taken whole, what lies above it only as the way there. */
import { resolve } from 'node:path';
import { asUtf8 } from '../bytes.js';
import { SourceError } from '../errors.js';
import { native } from '../native.js';
import { codeOf } from './errno.js';
import { readStat, ScanType } from './scan-record.js';
import type { SourceNode } from './walk-node.js';

/** One thing that was named. */
export interface Source {
  /** Absolute, without `.`, `..` and doubled slashes; symlinks are kept as they are. */
  readonly path: Uint8Array;
  /** A symlink that was named with a slash: the directory it leads to is meant. */
  readonly follow: boolean;
}

/** Reads what a person named. @throws SourceError for an empty path, RangeError for one that holds NUL */
export function sourceOf(path: string | Uint8Array): Source {
  // latin1 carries every byte through Node's string functions unchanged.
  const text = typeof path === 'string' ? Buffer.from(path).toString('latin1') : Buffer.from(path).toString('latin1');
  if (text === '') throw new SourceError('(empty)', 'an empty path names nothing');
  if (text.includes('\0')) throw new SourceError(text.replaceAll('\0', '\\x00'), 'a path holds no NUL');
  const cwd = Buffer.from(process.cwd()).toString('latin1');
  const absolute = new Uint8Array(Buffer.from(resolve(cwd, text), 'latin1'));
  return { path: absolute, follow: /\/\.?$/.test(text) && isLink(absolute) };
}

function isLink(path: Uint8Array): boolean {
  try {
    return readStat(native().statPath(path, false)).type === ScanType.symlink;
  } catch {
    return false;
  }
}

interface MutableNode {
  readonly path: Uint8Array;
  named: boolean;
  follow: boolean;
  readonly children: Map<string, MutableNode>;
}

/** Joins sources. One inside another stays one of its own. */
export function sourceTree(sources: readonly Source[]): SourceNode {
  const newNode = (path: string): MutableNode => ({
    path: new Uint8Array(Buffer.from(path, 'latin1')),
    named: false,
    follow: false,
    children: new Map(),
  });
  const root = newNode('/');
  for (const { path, follow } of sources) {
    let node = root;
    let at = '';
    const names = Buffer.from(path).toString('latin1').split('/');
    for (const name of names.filter((part) => part !== '')) {
      at += `/${name}`;
      let next = node.children.get(name);
      if (next === undefined) node.children.set(name, (next = newNode(at)));
      node = next;
    }
    node.named = true;
    node.follow ||= follow;
  }
  return root;
}

/**
 * Those of `sources` that can be examined. Calls `onLink` for a symlink that is stored as one.
 *
 * @throws SourceError if there are none: it says whether they do not exist
 */
export function existingSources(
  sources: readonly Source[],
  onMissing: (path: Uint8Array, code: string) => void,
  onLink: (path: Uint8Array) => void,
): Source[] {
  let unreadable: string | undefined;
  const existing = sources.filter(({ path, follow }) => {
    try {
      const { type } = readStat(native().statPath(path, follow));
      if (type === ScanType.symlink) onLink(path);
      if (!follow || type === ScanType.directory) return true;
      onMissing(path, 'ENOTDIR');
      return false;
    } catch (error) {
      const { code, syscall } = error as NodeJS.ErrnoException;
      if (code === undefined || syscall === undefined) throw error;
      if (code !== 'ENOENT' && code !== 'ENOTDIR') unreadable ??= codeOf(error);
      onMissing(path, codeOf(error));
      return false;
    }
  });
  if (existing.length === 0)
    throw new SourceError(
      sources.map(({ path }) => labelOf(path)).join(', '),
      unreadable === undefined
        ? 'none of the sources exists; nothing was stored'
        : `none of the sources can be examined (${unreadable}); nothing was stored`,
    );
  return existing;
}

/**
 * The label that a series of backups has when none is given: its sources. Different sets have different labels; the order, and naming one twice, change
 * nothing. A path is itself unless it holds bytes that are not UTF-8, a blank before a slash (which stands between paths), or what looks like an escape.
 */
export function defaultLabel(sources: readonly Source[]): string {
  const labels = sources.map(({ path, follow }) => (follow ? `${labelOf(path)}/` : labelOf(path)));
  return [...new Set(labels)].sort().join(' ');
}

function labelOf(path: Uint8Array): string {
  const escaped = (byte: number): string => `\\x${byte.toString(16).padStart(2, '0')}`;
  const text =
    asUtf8(path) ?? [...piecesOf(path)].map((piece) => (typeof piece === 'number' ? `\0${escaped(piece)}` : piece)).join('');
  // NUL, which no path holds, keeps the escapes just made from being taken for a path's own.
  return text
    .replaceAll(/(?<!\0)\\(?=x)/g, () => escaped(0x5c))
    .replaceAll(/ (?=\/)/g, () => escaped(0x20))
    .replaceAll('\0', '');
}

/** Well-formed characters as text, every other byte as a number. */
function* piecesOf(bytes: Uint8Array): Generator<string | number> {
  for (let at = 0; at < bytes.byteLength; ) {
    const lead = bytes[at]!;
    const length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    const character = at + length <= bytes.byteLength ? asUtf8(bytes.subarray(at, at + length)) : undefined;
    if (character === undefined) yield lead;
    else yield character;
    at += character === undefined ? 1 : length;
  }
}
