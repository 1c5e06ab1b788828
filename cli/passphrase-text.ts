/**
 * What a passphrase is, out of the bytes of a file, a pipe, a variable or a terminal: UTF-8, exactly. Bytes that are not would all become the same U+FFFD, and many passphrases
 * one. Pure.
 */
import { asUtf8, WrongKeyError } from '../lib/index.js';
import { UsageError } from './usage-error.js';

export interface Secret {
  readonly text: string;
  /** Where it came from, for messages: `VARVE_PASSWORD`, `--password-file`. */
  readonly what: string;
}

const isUtf16 = (bytes: Uint8Array): boolean =>
  (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);

/** @throws WrongKeyError for bytes that are not UTF-8 */
export function secretOf(bytes: Uint8Array, what: string): Secret {
  const text = asUtf8(bytes);
  if (text !== undefined) return { text, what };
  throw new WrongKeyError(
    isUtf16(bytes)
      ? `${what}: the passphrase is UTF-16 text; save it as UTF-8 without a byte order mark`
      : `${what}: the passphrase is not UTF-8, so that it could not be told from others; save it as UTF-8, and random bytes as base64 or hex`,
  );
}

/** As secretOf, without the one line end that closes a file. */
export function secretOfLine(bytes: Uint8Array, what: string): Secret {
  let end = bytes.byteLength;
  if (bytes[end - 1] === 0x0a) end -= bytes[end - 2] === 0x0d ? 2 : 1;
  return secretOf(bytes.subarray(0, end), what);
}

/** A passphrase to open with. @throws WrongKeyError for an empty one */
export function toOpenWith({ text, what }: Secret): string {
  if (text === '') throw new WrongKeyError(`${what}: the passphrase is empty`);
  return text;
}

/** A passphrase that is to be. @throws UsageError for one that nobody could type again, or would not mean to */
export function toBeSet({ text, what }: Secret): string {
  const refuse = (why: string): never => {
    throw new UsageError(`${what}: the passphrase ${why}`);
  };
  if (text === '') refuse('is empty; it must hold at least one character');
  if (text.startsWith('\ufeff')) refuse('begins with a byte order mark, which nobody types; save it as UTF-8 without one');
  if (text.includes('\0')) refuse('holds NUL bytes, which nobody types; is it UTF-16? Save it as UTF-8');
  if (/[\r\n]$/.test(text)) refuse('ends with more than one line end, which nobody types; leave one, or none');
  return text;
}

/** What may differ between this passphrase and the right one though they look the same: a sentence, or ''. */
export function whatMayDiffer(text: string): string {
  const traits = [
    text.startsWith('\ufeff') ? 'begins with a byte order mark' : '',
    text.includes('\0') ? 'holds NUL bytes, as UTF-16 has them' : '',
    /[\r\n]$/.test(text) ? 'ends with a further line end' : '',
    /^[^\S\r\n]|[^\S\r\n]$/.test(text) ? 'begins or ends with a blank' : '',
    text.normalize('NFC') !== text.normalize('NFD')
      ? 'has letters that can be written composed or decomposed (é as one character or as two), which are different passphrases'
      : '',
  ].filter((trait) => trait !== '');
  return traits.length === 0 ? '' : `. What was given ${traits.join(', and ')}`;
}
