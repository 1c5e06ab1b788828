/**
 * Patterns of paths, with the meaning they have in restic: `*`, `?` and `[a-z]` stay within a name, `**` spans names, a pattern without a leading `/`
 * begins at any depth, one with a `/` at its end means directories only, and what matches a directory matches everything beneath it. Pure, and exact for names that are not UTF-8: their odd bytes become
 * lone surrogates, which no well-formed name holds.
 */
import { isUtf8 } from 'node:buffer';

/**
 * One pattern as a person wrote it. A leading `!` takes back what earlier patterns matched, but nothing of a directory that is left out as a whole; `\` makes
 * the next character literal.
 */
export interface Pattern {
  /** Where it was written, `FILE:LINE`, for messages. */
  readonly from?: string;
  readonly pattern: string | Uint8Array;
  readonly ignoreCase?: boolean;
}

/** Compiled patterns. Paths are absolute. */
export interface PathPatterns {
  /** Whether `path` matches; a pattern for directories only does so where it is one, or lies beneath one. */
  matches(path: Uint8Array, isDirectory?: boolean): boolean;
  /** Whether something beneath the directory at `path` may match although it does not match itself. */
  mayMatchBelow(path: Uint8Array): boolean;
  /** Patterns with `!` that begin at the root and mean something beneath `path`, as they were written. */
  takenBackBelow(path: Uint8Array): readonly string[];
}

/** Text of `bytes`; each byte that is not part of well-formed UTF-8 becomes U+DC00 + byte, so that different bytes stay different. */
export function decodeName(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (isUtf8(buffer)) return buffer.toString('utf8');
  let text = '';
  for (let at = 0; at < buffer.byteLength; ) {
    const lead = buffer[at]!;
    const length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    const character = buffer.subarray(at, at + length);
    if (character.byteLength === length && isUtf8(character)) {
      text += character.toString('utf8');
      at += length;
    } else {
      text += String.fromCharCode(0xdc00 + lead);
      at++;
    }
  }
  return text;
}

/** The regular expression source of one name's pattern. @throws RangeError when a class does not end */
function nameSource(pattern: string): string {
  const characters = [...pattern];
  let source = '';
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at]!;
    if (character === '*') source += '[^/]*';
    else if (character === '?') source += '[^/]';
    else if (character === '[') {
      const end = classEnd(characters, at);
      source += classSource(characters.slice(at + 1, end));
      at = end;
    } else if (character === '\\') {
      if (++at === characters.length) throw new RangeError('nothing follows the last backslash');
      source += literal(characters[at]!);
    } else source += literal(character);
  }
  return source;
}

function classEnd(characters: readonly string[], start: number): number {
  for (let at = start + 1; at < characters.length; at++) {
    if (characters[at] === '\\') at++;
    else if (characters[at] === ']' && at > start + (characters[start + 1] === '^' ? 2 : 1)) return at;
  }
  throw new RangeError('a [ without its ]; write \\[ for the character itself');
}

function classSource(characters: readonly string[]): string {
  const negated = characters[0] === '^';
  let inside = '';
  for (let at = negated ? 1 : 0; at < characters.length; at++) {
    let character = characters[at]!;
    if (character === '-' && inside !== '' && at + 1 < characters.length) {
      inside += '-';
      continue;
    }
    if (character === '\\') character = characters[++at] ?? '\\';
    inside += /[\\\]^[-]/.test(character) ? `\\${character}` : character;
  }
  // A class never matches the separator, whatever it lists.
  return `(?!/)[${negated ? '^' : ''}${inside}]`;
}

function literal(character: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(character) ? `\\${character}` : character;
}

interface Compiled {
  readonly text: string;
  readonly negated: boolean;
  readonly expression: RegExp;
  readonly absolute: boolean;
  /** Names before the first `**`, each anchored. */
  readonly front: readonly RegExp[];
  readonly spans: boolean;
}

function compile({ pattern, ignoreCase = false, from }: Pattern, itself: boolean): Compiled | undefined {
  const text = typeof pattern === 'string' ? pattern : decodeName(pattern);
  try {
    return compileText(text, ignoreCase, itself);
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof RangeError)) throw error;
    throw new RangeError(`${from === undefined ? '' : `${from}: `}pattern ${text}: ${error.message}`);
  }
}

/** @throws RangeError, SyntaxError */
function compileText(text: string, ignoreCase: boolean, itself: boolean): Compiled | undefined {
  const negated = text.startsWith('!') && text.length > 1;
  const body = negated ? text.slice(1) : text;
  const absolute = body.startsWith('/');
  const names = body.split('/').filter((name) => name !== '' && name !== '.');
  if (names.length === 0 && !absolute) return undefined;
  const flags = ignoreCase ? 'isu' : 'su';
  let source = absolute ? '^' : '(?:^|/)';
  const lastName = names.findLastIndex((name) => name !== '**');
  // The text that is matched ends with a slash where it is a directory.
  const directoriesOnly = body.endsWith('/') && lastName === names.length - 1;
  const end = itself
    ? lastName < names.length - 1
      ? '(?:/.*)?$'
      : directoriesOnly
        ? '/$'
        : '/?$'
    : directoriesOnly
      ? '/'
      : '(?:/|$)';
  for (const [i, name] of names.entries()) {
    if (i > lastName) break;
    if (name === '**') source += '(?:[^/]+/)*';
    // A name has one character at least: `a/*` is nothing that is called `a/`.
    else source += `(?=[^/])${nameSource(name)}${i === lastName ? end : '/'}`;
  }
  const firstSpan = names.indexOf('**');
  const front = (firstSpan < 0 ? names : names.slice(0, firstSpan)).map((name) => new RegExp(`^${nameSource(name)}$`, flags));
  return { text, negated, expression: new RegExp(source, flags), absolute, front, spans: firstSpan >= 0 };
}

/**
 * Compiles `patterns`; later ones win over earlier ones, as `!` needs.
 *
 * @param options.itself - match what the pattern names only, not what lies beneath it
 * @throws RangeError naming a pattern that is not one
 */
export function compilePatterns(patterns: readonly Pattern[], options: { readonly itself?: boolean } = {}): PathPatterns {
  const compiled = patterns.map((pattern) => compile(pattern, options.itself === true)).filter((one) => one !== undefined);
  return {
    matches(path, isDirectory = true) {
      const text = `${decodeName(path).replace(/^\/+/, '')}${isDirectory ? '/' : ''}`;
      let matched = false;
      // A pattern can only change the verdict one way, so those that cannot are not tried.
      for (const { negated, expression } of compiled) if (matched === negated && expression.test(text)) matched = !negated;
      return matched;
    },
    mayMatchBelow(path) {
      const names = namesOf(path);
      return compiled.some((one) => !one.negated && (!one.absolute || mayBeBelow(one, names)));
    },
    takenBackBelow(path) {
      const names = namesOf(path);
      return compiled
        .filter((one) => one.negated && one.absolute && one.front.length > names.length && mayBeBelow(one, names))
        .map(({ text }) => text);
    },
  };
}

function namesOf(path: Uint8Array): string[] {
  return decodeName(path)
    .split('/')
    .filter((name) => name !== '');
}

/** Whether a pattern that begins at the root may mean something beneath the directory with these names. */
function mayBeBelow({ front, spans }: Compiled, names: readonly string[]): boolean {
  if (names.length >= front.length) return spans && front.every((expression, i) => expression.test(names[i]!));
  return names.every((name, i) => front[i]!.test(name));
}
