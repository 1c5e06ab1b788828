/** The folder of segment files as other processes see it: what is listed, what is still ours to delete, what dead writers left. Never fails. */
import { statSync, unlinkSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Segment } from './segment.js';
import { TEMPORARY } from './segment-file.js';

const STALE_MS = 24 * 3600 * 1000;

/** Paths of all segment files; none when the folder cannot be read. */
export async function listSegments(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => /^[0-9a-f]{64}\.seg$/.test(name)).map((name) => join(folder, name));
}

/** Whether the file of that name is the one this segment has open, not one that another process wrote since. */
export function isStill(segment: Segment): boolean {
  try {
    const { dev, ino } = statSync(segment.file, { bigint: true });
    return segment.identity === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

export function removeQuietly(file: string): void {
  try {
    unlinkSync(file);
  } catch {
    // A read-only folder: the file stays and is skipped again next time.
  }
}

/** Deletes what writers that died a day ago left. */
export async function removeStale(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (!TEMPORARY.test(name)) continue;
    const file = join(folder, name);
    const found = await stat(file).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > STALE_MS) removeQuietly(file);
  }
}
