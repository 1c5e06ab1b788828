// A tree of any size for the ten-times row: most files are small, a few are large, nothing occurs twice, and about a
// quarter can be compressed away. The same size gives the same bytes.
import { createCipheriv } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const FILES_PER_FOLDER = 100;
/** Bytes of the files of one folder: one of 1 MiB, three of 100,000, the rest of 500 to 6,500; 1.66 MB in all. */
const sizeOf = (index) => (index === 0 ? 1 << 20 : index < 4 ? 100_000 : 500 + ((index * 7919) % 6001));

/** Writes about `megabytes` MB into the new folder `path`; leaves one that exists alone. */
export function generateTree(path, megabytes) {
  if (existsSync(path)) return;
  const stream = createCipheriv('aes-256-ctr', Buffer.alloc(32, 7), Buffer.alloc(16));
  let left = megabytes * 1e6;
  for (let folder = 0; left > 0; folder++) {
    const at = join(path, `d${folder % 64}`, `d${folder}`);
    mkdirSync(at, { recursive: true });
    for (let file = 0; file < FILES_PER_FOLDER; file++) {
      const bytes = sizeOf(file);
      writeFileSync(
        join(at, `f${file}`),
        stream
          .update(Buffer.alloc(Math.ceil((bytes * 3) / 4)))
          .toString('base64')
          .slice(0, bytes),
      );
      left -= bytes;
    }
  }
}
