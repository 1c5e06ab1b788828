/**
 * Arguments as bytes. Node decodes argv as UTF-8 and loses names that are not; Linux keeps the original in /proc/self/cmdline, and there they are
 * found again by what they decode to.
 */
import { readFileSync } from 'node:fs';

let recovered: Map<string, Buffer> | undefined;

function recover(): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  try {
    const line = readFileSync('/proc/self/cmdline');
    for (let at = 0; at < line.byteLength; ) {
      const end = line.indexOf(0, at);
      const bytes = line.subarray(at, end < 0 ? line.byteLength : end);
      at += bytes.byteLength + 1;
      const text = bytes.toString('utf8');
      if (!text.includes('\ufffd')) continue;
      found.set(text, bytes);
      // `--option=value` and `SNAP:PATH` carry the bytes behind the sign.
      for (const sign of ['=', ':']) {
        const start = bytes.indexOf(sign);
        if (start >= 0) found.set(bytes.subarray(start + 1).toString('utf8'), bytes.subarray(start + 1));
      }
    }
  } catch {
    // Not Linux: what Node decoded is all there is.
  }
  return found;
}

/** The bytes that were typed for argument `text`. */
export function argumentBytes(text: string): Buffer {
  if (!text.includes('\ufffd')) return Buffer.from(text, 'utf8');
  recovered ??= recover();
  return recovered.get(text) ?? Buffer.from(text, 'utf8');
}

/** Whether argument `text` was typed as what it decodes to. */
export function isUtf8Argument(text: string): boolean {
  return argumentBytes(text).equals(Buffer.from(text, 'utf8'));
}
