/**
 * Where a new segment goes: into the folder that processes share, or, when that cannot be written, into a temporary place where it has no name and ends
 * with this process. The index works the same with either.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CorruptError, StoreError } from '../errors.js';
import { Segment } from './segment.js';

/**
 * Creates and opens a segment with `write`, which is given a folder and returns the file: in `folder` if `shared` and possible, else elsewhere without a name.
 *
 * @throws CorruptError, RangeError, TypeError of `write` for what it was given; StoreError when there is no place at all
 */
export async function createSegment(
  folder: string,
  shared: boolean,
  filter: boolean,
  write: (folder: string) => Promise<string>,
): Promise<{ readonly segment: Segment; readonly shared: boolean }> {
  let failure: unknown;
  if (shared) {
    try {
      return { segment: Segment.open(await write(folder), filter), shared: true };
    } catch (error) {
      if (isBadInput(error)) throw error;
      failure = error;
    }
  }
  for (const place of [tmpdir(), '/dev/shm']) {
    let scratch: string | undefined;
    try {
      scratch = await mkdtemp(join(place, 'varve-index-'));
      return { segment: Segment.open(await write(scratch), filter), shared: false };
    } catch (error) {
      if (isBadInput(error)) throw error;
      failure = error;
    } finally {
      if (scratch !== undefined) await rm(scratch, { recursive: true, force: true }).catch(() => undefined);
    }
  }
  throw new StoreError(folder, 'write the chunk index in', failure);
}

/** Whether writing failed for what it was given, which another folder would not mend. */
function isBadInput(error: unknown): boolean {
  return (
    error instanceof RangeError ||
    error instanceof TypeError ||
    (error instanceof CorruptError && error.details.pack !== undefined)
  );
}
