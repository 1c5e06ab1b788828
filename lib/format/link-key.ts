/** What makes two entries the same file (docs/format.md §9): a link id alone is only a claim. Pure. */
import { toHex } from '../bytes.js';
import { type Entry, isFile } from './tree.js';

/** What entries of one link id must agree in, as text: kind, size, digest, target, device numbers. */
export function linkContent(entry: Entry): string {
  if (isFile(entry)) return `${entry.kind}:${entry.sizeBytes}:${entry.digest === null ? '' : toHex(entry.digest)}`;
  if ('target' in entry) return `${entry.kind}:${toHex(entry.target)}`;
  return 'major' in entry ? `${entry.kind}:${entry.major}:${entry.minor}` : `${entry.kind}`;
}

/** By what other names of the same file are found; undefined when it has none. Entries that do not agree have different keys whatever their link ids say. */
export function linkKey(entry: Entry): string | undefined {
  return entry.link === null ? undefined : `${toHex(entry.link.id)}:${linkContent(entry)}`;
}
