/**
 * Texts and names that others wrote, as a terminal may show them: whatever could steer it, change the direction of text, or take no room at all stands
 * there as an escape. Pure. It is the one place that knows which characters these are.
 */
import { asUtf8 } from './bytes.js';

/**
 * Ranges of characters, in hex: controls (C0, DEL, C1), soft hyphen, what has no width (joiners, fillers, byte order mark, annotations, tags), direction marks and
 * overrides, line and paragraph separators, and lone surrogates. Variation selectors stay: they only choose between shapes of the character before.
 */
const RANGES =
  '0-1f 7f-9f ad 34f 61c 115f-1160 17b4-17b5 180b-180f 200b-200f 2028-202e 2060-206f 3164 feff ffa0 fff0-fffb 1bca0-1bca3 1d173-1d17a e0000-e0fff d800-dfff';
const UNSAFE = new RegExp(`[${RANGES.replaceAll(/[0-9a-f]+/g, '\\u{$&}').replaceAll(' ', '')}]`, 'gu');

/** `\x1b`, `\u202e`, `\u{e0041}`. */
function escaped(character: string): string {
  const code = character.codePointAt(0)!;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\u{${code.toString(16)}}`;
}

/** A text in one line, without anything that a terminal would obey. What is safe already stays as it is. */
export function printable(text: string): string {
  return text.replace(UNSAFE, escaped);
}

/** As `printable`, of a name's bytes; in one that is not UTF-8 every byte beyond ASCII is `\xff`. */
export function printableBytes(bytes: Uint8Array): string {
  const text = asUtf8(bytes);
  if (text !== undefined) return printable(text);
  return [...bytes]
    .map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : escaped(String.fromCharCode(byte))))
    .join('');
}

/** JSON that a terminal may show: the same value to a program, with `\u009b` for what `printable` escapes. */
export function printableJson(value: unknown, indent?: number): string {
  const units = (character: string): string =>
    Array.from({ length: character.length }, (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`).join('');
  // What JSON itself escapes is gone by now; the line ends that `indent` makes stay.
  return JSON.stringify(value, undefined, indent).replace(UNSAFE, (character) =>
    character === '\n' ? character : units(character),
  );
}
