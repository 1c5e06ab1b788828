/**
 * Bringing a segment file into being: a temporary file is filled by native code, stamped with the digest of its metadata and renamed.
 * No fsync: a cache that a power cut tears does not verify and is dropped. Any number of processes may write the same segment at once.
 */

import { randomBytes } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { viewOf } from '../bytes.js';
import { CorruptError } from '../errors.js';
import { makeFolders } from '../folders.js';
import { native } from '../native.js';
import { DIGEST_AT, metadataDigest, type Segment, segmentName } from './segment.js';

/** Name pattern of unfinished files, which openChunkIndex removes when they are a day old. */
export const TEMPORARY = /^\.segment-[0-9a-f]{16}\.tmp$/;

/** One pack as an index object lists it: id 32 bytes, header 256 bytes, directory (docs/format.md). */
export interface PackDirectory {
  readonly packId: Uint8Array;
  readonly header: Uint8Array;
  readonly directory: Uint8Array;
}

/** An index object (or a pack read by itself): its name and the packs it lists. */
export interface IndexSource {
  readonly name: string;
  /** What errors call it; the name when absent. */
  readonly object?: string;
  readonly packs: readonly PackDirectory[];
}

/** Rows that a source says it has. */
export function rowsOf(source: IndexSource): number {
  let rows = 0;
  for (const { directory } of source.packs) rows += directory.byteLength >= 8 ? viewOf(directory).getUint32(4, true) : 0;
  return rows;
}

/** Creates `<hash of names>.seg` in `folder` from what `fill` writes. Returns its path. @throws system errors; nothing is left behind then */
async function createSegment(
  folder: string,
  names: Iterable<string>,
  fill: (fd: number, salt: number, covered: Uint8Array) => Promise<void>,
): Promise<string> {
  const { file, salt, covered } = segmentName(names);
  makeFolders(folder);
  const temporary = join(folder, `.segment-${randomBytes(8).toString('hex')}.tmp`);
  const fd = openSync(temporary, 'wx+', 0o600);
  try {
    try {
      await fill(fd, salt, covered);
      const digest = metadataDigest(fd, temporary);
      writeSync(fd, digest, 0, digest.byteLength, DIGEST_AT);
    } finally {
      closeSync(fd);
    }
    const path = join(folder, file);
    await rename(temporary, path);
    return path;
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}

/**
 * Writes one segment over `sources` (all of them in memory as 24 bytes a chunk while it sorts).
 *
 * @returns path of the segment
 * @throws CorruptError that names the source whose directory breaks a rule; system errors when the folder cannot be written
 */
export async function writeSegment(folder: string, sources: Iterable<IndexSource>): Promise<string> {
  const all = [...sources];
  return createSegment(
    folder,
    all.map((source) => source.name),
    async (fd, salt, covered) => {
      const builder = native().segmentBuilderCreate(
        fd,
        Math.min(
          0xffffffff,
          all.reduce((sum, source) => sum + rowsOf(source), 0),
        ),
      );
      try {
        for (const source of all) {
          for (const pack of source.packs) addPack(builder, source.object ?? source.name, pack);
        }
        await native().segmentBuilderFinish(builder, salt, covered);
      } finally {
        native().segmentBuilderFree(builder);
      }
    },
  );
}

function addPack(builder: number, source: string, pack: PackDirectory): void {
  try {
    native().segmentBuilderAdd(builder, pack.packId, pack.header, pack.directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBADMSG') throw error;
    throw new CorruptError(source, (error as Error).message, { pack: Buffer.from(pack.packId).toString('hex') }, error);
  }
}

/** Merges open segments into one that covers all their sources. Memory is bounded. Returns its path. @throws code 'EBADMSG' when one is damaged */
export async function mergeSegments(folder: string, segments: readonly Segment[]): Promise<string> {
  const handles = Uint32Array.from(segments, (segment) => segment.handle);
  const names = segments.flatMap((segment) => [...segment.covered]);
  return createSegment(folder, names, (fd, salt, covered) => native().segmentMerge(handles, fd, salt, covered));
}
