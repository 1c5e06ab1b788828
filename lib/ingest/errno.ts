/** Names of system error numbers, as Node's own errors carry them. */
import { constants } from 'node:os';

const NAMES = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));
/** Linux errors that Node has no name for. */
for (const [name, number] of [
  ['EUCLEAN', 117],
  ['EREMOTEIO', 121],
  ['ENOMEDIUM', 123],
  ['EMEDIUMTYPE', 124],
  ['ENOKEY', 126],
  ['EKEYEXPIRED', 127],
  ['EKEYREJECTED', 129],
  ['ENOTUNIQ', 76],
  ['ESHUTDOWN', 108],
  ['EHOSTDOWN', 112],
  ['ECOMM', 70],
] as const)
  if (process.platform === 'linux' && !NAMES.has(number)) NAMES.set(number, name);

/** Name of a system error number; of one without a name, EIO with the number. */
export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `EIO number ${errno}`;
}

/** Name of the system error in `error`; EIO for any other. */
export function codeOf(error: unknown): string {
  const { code, errno } = error as NodeJS.ErrnoException;
  if (typeof code === 'string' && /^E[A-Z0-9]+$/.test(code)) return code;
  return typeof errno === 'number' ? errnoName(Math.abs(errno)) : 'EIO';
}
