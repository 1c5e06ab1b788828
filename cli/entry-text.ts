/** An entry of a snapshot as a line for people (`ls -l`) and as JSON. */
import { type Entry, type EntryKind, toHex } from '../lib/index.js';
import { jsonName, localTime, modeText, rfc3339 } from './human.js';

const KINDS: Readonly<Record<EntryKind, readonly [letter: string, word: string]>> = {
  1: ['-', 'file'],
  2: ['d', 'dir'],
  3: ['l', 'symlink'],
  4: ['p', 'fifo'],
  5: ['s', 'socket'],
  6: ['c', 'chardev'],
  7: ['b', 'blockdev'],
  8: ['-', 'image'],
};

export function kindLetter(entry: Entry): string {
  return KINDS[entry.kind][0];
}

/** Size as `ls` shows it: of files and images; of symlinks the target's length; else 0. */
export function sizeOf(entry: Entry): number {
  if ('sizeBytes' in entry) return entry.sizeBytes;
  return 'target' in entry ? entry.target.byteLength : 0;
}

/** `drwxr-xr-x  1000  1000        0 2026-03-01 02:00:00 /path -> target`, as parts for Output.text. */
export function longLine(path: Uint8Array, entry: Entry): (string | Uint8Array)[] {
  const device = 'major' in entry ? `${entry.major}, ${entry.minor}` : String(sizeOf(entry));
  const { uid, gid } = entry.owner;
  const time = localTime({ sec: entry.mtimeSec, nsec: entry.mtimeNsec });
  const front = `${modeText(kindLetter(entry), entry.mode)} ${String(uid).padStart(5)} ${String(gid).padStart(5)} ${device.padStart(12)} ${time} `;
  return [front, path, ...('target' in entry ? [' -> ', entry.target] : [])];
}

/** The fields of an entry for programs. */
export function describeEntry(path: Uint8Array, entry: Entry): Record<string, unknown> {
  return {
    ...jsonName('name', entry.name),
    ...jsonName('path', path),
    type: KINDS[entry.kind][1],
    mode: entry.mode,
    permissions: modeText(kindLetter(entry), entry.mode),
    uid: entry.owner.uid,
    gid: entry.owner.gid,
    ...(entry.owner.user === null ? {} : { user: entry.owner.user }),
    ...(entry.owner.group === null ? {} : { group: entry.owner.group }),
    ...('sizeBytes' in entry ? { size: entry.sizeBytes } : {}),
    mtime: rfc3339({ sec: entry.mtimeSec, nsec: entry.mtimeNsec }),
    ...(entry.btimeSec === null ? {} : { btime: rfc3339({ sec: entry.btimeSec, nsec: entry.btimeNsec }) }),
    ...('digest' in entry && entry.digest !== null ? { sha256: toHex(entry.digest) } : {}),
    ...('target' in entry ? jsonName('target', entry.target) : {}),
    ...('major' in entry ? { major: entry.major, minor: entry.minor } : {}),
    ...('totals' in entry ? { files: entry.totals.files, directories: entry.totals.directories, bytes: entry.totals.bytes } : {}),
    ...(entry.link === null ? {} : { link_id: toHex(entry.link.id), nlink: entry.link.nlink }),
  };
}
