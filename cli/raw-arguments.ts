/**
 * Arguments and variables as bytes. Node decodes both as UTF-8 and loses what is not; Linux keeps the originals in /proc/self/cmdline and /proc/self/environ, and there they are
 * found again by what they decode to.
 */
import { readFileSync } from 'node:fs';
import { UsageError } from './usage-error.js';

const LOST = '\ufffd';

/** The parts of a file that end with NUL. */
function partsOf(file: string): Buffer[] {
  const parts: Buffer[] = [];
  try {
    const all = readFileSync(file);
    for (let at = 0; at < all.byteLength; ) {
      const end = all.indexOf(0, at);
      const bytes = all.subarray(at, end < 0 ? all.byteLength : end);
      at += bytes.byteLength + 1;
      parts.push(bytes);
    }
  } catch {
    // Not Linux: what Node decoded is all there is.
  }
  return parts;
}

/** Every argument that decodes to a text with U+FFFD in it, by that text, in the order of the command line. */
let recovered: Map<string, Buffer[]> | undefined;

function recover(): Map<string, Buffer[]> {
  const found = new Map<string, Buffer[]>();
  const add = (bytes: Buffer): void => {
    const text = bytes.toString('utf8');
    if (text.includes(LOST)) found.set(text, [...(found.get(text) ?? []), bytes]);
  };
  for (const bytes of partsOf('/proc/self/cmdline')) {
    add(bytes);
    // `--option=value` and `SNAP:PATH` carry the bytes behind the sign.
    for (const sign of ['=', ':']) if (bytes.includes(sign)) add(bytes.subarray(bytes.indexOf(sign) + 1));
  }
  return found;
}

/** What may have been typed for `text`: one, or several that Node made the same of. */
function candidates(text: string): Buffer[] {
  const plain = Buffer.from(text, 'utf8');
  if (!text.includes(LOST)) return [plain];
  recovered ??= recover();
  return recovered.get(text) ?? [plain];
}

/** The bytes that were typed for argument `text`. @throws UsageError when several arguments differ in bytes that are not UTF-8, and only there */
export function argumentBytes(text: string): Buffer {
  const [first, ...others] = candidates(text);
  if (others.some((other) => !other.equals(first!)))
    throw new UsageError(
      `${text}: several arguments differ only in bytes that are not UTF-8, and cannot be told apart; give them one at a time, or in a file (--files-from-raw)`,
    );
  return first!;
}

/** As argumentBytes, for arguments in the order in which they were typed. */
export function allArgumentBytes(texts: readonly string[]): Buffer[] {
  const taken = new Map<string, number>();
  return texts.map((text) => {
    const all = candidates(text);
    // Only if no option has the same text: then which is which is known by their order.
    if (all.length !== texts.filter((other) => other === text).length) return argumentBytes(text);
    const at = taken.get(text) ?? 0;
    taken.set(text, at + 1);
    return all[at]!;
  });
}

/** Whether argument `text` was typed as what it decodes to. */
export function isUtf8Argument(text: string): boolean {
  return candidates(text).every((bytes) => bytes.equals(Buffer.from(text, 'utf8')));
}

/** @throws UsageError for an argument that is not UTF-8: two of them could become the same text */
export function requireUtf8(text: string, what: string): void {
  if (!isUtf8Argument(text)) throw new UsageError(`${what}: ${text} is not UTF-8; write it as UTF-8`);
}

/** The bytes of an environment variable; undefined when it is not set, or when they are lost. */
export function variableBytes(name: string): Buffer | undefined {
  const text = process.env[name];
  if (text === undefined || !text.includes(LOST)) return text === undefined ? undefined : Buffer.from(text, 'utf8');
  const prefix = Buffer.from(`${name}=`);
  return partsOf('/proc/self/environ')
    .find((part) => part.subarray(0, prefix.byteLength).equals(prefix))
    ?.subarray(prefix.byteLength);
}

/** A variable that is text; undefined when it is not set, or empty. @throws UsageError when it is not UTF-8 */
export function textVariable(name: string): string | undefined {
  const text = process.env[name];
  if (text === undefined || text === '') return undefined;
  if (text.includes(LOST) && variableBytes(name)?.equals(Buffer.from(text, 'utf8')) !== true)
    throw new UsageError(`${name} is not UTF-8; write it as UTF-8`);
  return text;
}
