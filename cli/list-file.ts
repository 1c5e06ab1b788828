/**
 * Reads the lists that people keep in files: patterns, paths, one a line or each ended by NUL. What an editor adds (a byte order mark, CR before LF) belongs to
 * no line; what is not such a list is refused by name, because taking it as one would silently name other files.
 */
import { lstatSync, readFileSync } from 'node:fs';
import { UsageError } from './usage-error.js';

/** One line, and where it stands: `FILE:NUMBER`. */
export interface ListLine {
  readonly bytes: Buffer;
  readonly from: string;
}

function readList(file: string): Buffer {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file === '-' ? 0 : file);
  } catch (cause) {
    throw new UsageError(`${file}: the list cannot be read: ${(cause as Error).message}`);
  }
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff))
    throw new UsageError(`${file}: the list is in UTF-16; save it as UTF-8`);
  return first === 0xef && second === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

function split(bytes: Buffer, file: string, separator: number): ListLine[] {
  const lines: ListLine[] = [];
  for (let at = 0, number = 1; at < bytes.byteLength; number++) {
    const end = bytes.indexOf(separator, at);
    lines.push({ bytes: bytes.subarray(at, end < 0 ? bytes.byteLength : end), from: `${file}:${number}` });
    at = end < 0 ? bytes.byteLength : end + 1;
  }
  return lines;
}

/** Lines of a file, empty ones too, without their ends. @throws UsageError naming the file, and the line where one is meant */
export function readLines(file: string): ListLine[] {
  const lines = split(readList(file), file, 0x0a);
  for (const { bytes, from } of lines)
    if (bytes.includes(0))
      throw new UsageError(
        `${from}: a NUL byte in a list of lines; paths ended by NUL are read with --files-from-raw, and UTF-16 has to be saved as UTF-8`,
      );
  return lines.map(({ bytes, from }) => ({ bytes: withoutCarriageReturn(bytes), from }));
}

/** A CR before the LF is the line's end, unless a file of that very name is there. */
function withoutCarriageReturn(line: Buffer): Buffer {
  return line.at(-1) === 0x0d && !isThere(line) ? line.subarray(0, -1) : line;
}

/** Items of a file that are each ended by NUL. @throws UsageError naming the file */
export function readItems(file: string): ListLine[] {
  const bytes = readList(file);
  if (bytes.byteLength > 0 && bytes.at(-1) !== 0) throw new UsageError(`${file}: the last path is not ended by NUL`);
  return split(bytes, file, 0);
}

/** Whether something is at `path`. */
export function isThere(path: Buffer): boolean {
  try {
    return path.byteLength > 0 && lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch {
    return false;
  }
}
