/** The sources of a backup as one tree of absolute paths below `/`, as in restic: what is named is taken whole, what lies above it only as the way there. */
import { resolve } from 'node:path';
import { SourceError } from '../errors.js';
import { native } from '../native.js';
import type { SourceNode } from './walk-node.js';

/** Absolute form of `path`, without `.`, `..` and doubled slashes; symlinks are kept as they are. */
export function absolutePath(path: string | Uint8Array): Uint8Array {
  // latin1 carries every byte through Node's string functions unchanged.
  const text = typeof path === 'string' ? Buffer.from(path).toString('latin1') : Buffer.from(path).toString('latin1');
  if (text === '') throw new SourceError('(empty)', 'an empty path names nothing');
  const cwd = Buffer.from(process.cwd()).toString('latin1');
  return new Uint8Array(Buffer.from(resolve(cwd, text), 'latin1'));
}

interface MutableNode {
  readonly path: Uint8Array;
  children: Map<string, MutableNode> | undefined;
}

/**
 * Joins sources; one inside another is part of it.
 *
 * @throws SourceError if none of them exists
 */
export function sourceTree(paths: readonly Uint8Array[]): SourceNode {
  const root: MutableNode = { path: new Uint8Array(Buffer.from('/')), children: new Map() };
  for (const path of paths) {
    let node = root;
    let at = '';
    for (const part of Buffer.from(path)
      .toString('latin1')
      .split('/')
      .filter((name) => name !== '')) {
      at += `/${part}`;
      if (node.children === undefined) break;
      let next = node.children.get(part);
      if (next === undefined)
        node.children.set(part, (next = { path: new Uint8Array(Buffer.from(at, 'latin1')), children: new Map() }));
      node = next;
    }
    node.children = undefined;
  }
  return root;
}

/** Those of `paths` that exist. @throws SourceError if there are none */
export function existingSources(paths: readonly Uint8Array[], onMissing: (path: Uint8Array, code: string) => void): Uint8Array[] {
  const existing = paths.filter((path) => {
    try {
      native().statPath(path, false);
      return true;
    } catch (error) {
      const { code, syscall } = error as NodeJS.ErrnoException;
      if (code === undefined || syscall === undefined) throw error;
      onMissing(path, code);
      return false;
    }
  });
  if (existing.length === 0)
    throw new SourceError(
      paths.map((path) => Buffer.from(path).toString()).join(', '),
      'none of the sources exists; nothing was stored',
    );
  return existing;
}
