/**
 * What /proc/self/mountinfo says about a mountpoint. Reading it asks the kernel only, never the server of a mount, so it is safe from the
 * process that serves one.
 */
import { readFileSync } from 'node:fs';

/** One line of mountinfo. */
export interface MountEntry {
  /** `major:minor` of the mounted file system. */
  readonly device: string;
  readonly mountpoint: string;
  readonly fsType: string;
  readonly source: string;
}

/** Parses mountinfo (proc_pid_mountinfo(5)); later lines lie over earlier ones. */
export function parseMountTable(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split('\n')) {
    const [before, after] = line.split(' - ');
    const fields = before?.split(' ') ?? [];
    const [fsType, source] = after?.split(' ') ?? [];
    const device = fields[2];
    const mountpoint = fields[4];
    if (device === undefined || mountpoint === undefined || fsType === undefined) continue;
    entries.push({ device, mountpoint: unescapeField(mountpoint), fsType, source: unescapeField(source ?? '') });
  }
  return entries;
}

/** The mount seen at `mountpoint` (an absolute path without symlinks): the topmost, or undefined. */
export function mountAt(mountpoint: string): MountEntry | undefined {
  return mounts().findLast((entry) => entry.mountpoint === mountpoint);
}

/** Whether the file system with this `major:minor` is still mounted at `mountpoint`, even under another. */
export function isMounted(mountpoint: string, device: string): boolean {
  return mounts().some((entry) => entry.mountpoint === mountpoint && entry.device === device);
}

function mounts(): MountEntry[] {
  return parseMountTable(readFileSync('/proc/self/mountinfo', 'utf8'));
}

/** Blanks and backslashes are written as three octal digits, byte by byte. */
function unescapeField(field: string): string {
  if (!field.includes('\\')) return field;
  const latin = Buffer.from(field, 'utf8').toString('latin1');
  return Buffer.from(
    latin.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    'latin1',
  ).toString('utf8');
}
