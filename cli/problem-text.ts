/** What kept a file, or a part of it, out of a snapshot, in words. Pure. */
import { getSystemErrorMap } from 'node:util';

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'not found; deleted during the backup?',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  EIO: 'the device or file system reports a read error',
  ESTALE: 'something else is there by now, or the server has forgotten it',
  ENOTCONN: 'the server of this file system is gone',
  EUCLEAN: 'the file system is damaged here',
  EBADMSG: 'the file system reports damaged data',
  ENOKEY: 'encrypted, and the key is not loaded',
  ELOOP: 'a symlink where there was none, or too many of them',
  CHANGED: 'changed while it was read',
  UNKNOWN_TYPE: 'not of any kind that can be stored',
  ODD_NAME: 'a name that no directory should hold, or the same one twice',
  ODD_TIME: 'an impossible time; stored with the nearest possible one',
  ODD_ATTRIBUTE: 'an impossible attribute; stored without it',
  ODD_TARGET: 'a symlink with an impossible target',
  ODD_NUMBERS: 'impossible numbers of mode, owner or device',
  TOO_LARGE: 'larger than any file that can be stored (9,007,199,254,740,991 bytes)',
  TOO_MUCH: 'more bytes together with the files before it than a snapshot can count (9,007,199,254,740,991)',
  TOO_DEEP: 'deeper than the 2,048 directories that a snapshot holds in one another',
};

/** `code` is an error's name, or that and which attributes were not read: `EACCES attribute user.k`. */
export function reasonOf(code: string): string {
  const [name = '', ...rest] = code.split(' ');
  const words = WORDS[name] ?? systemWords(name) ?? 'not read';
  if (rest.length === 0) return `${words} (${name})`;
  const what = rest.join(' ');
  if (name === 'ODD_ATTRIBUTE') return `${words} (${what})`;
  return /^attribute/.test(what) ? `stored without ${what}: ${words} (${name})` : `${words} (${code})`;
}

function systemWords(name: string): string | undefined {
  for (const [code, message] of getSystemErrorMap().values()) if (code === name) return message;
  return undefined;
}
