/** What stands in the target under a name, from the stat records of lib/native.ts. Pure but for asking. */
import { viewOf } from '../bytes.js';
import { native, STAT_NAME_AT } from '../native.js';

export { StatType as Type } from '../native.js';

export interface Existing {
  readonly name: Uint8Array;
  readonly type: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly ino: bigint;
  readonly sizeBytes: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  /** When it was made, 0 where the file system does not keep that: an inode number is given out again. */
  readonly bornNs: bigint;
  readonly dev: bigint;
}

/** Which file or directory it is, whatever its name. */
export type Identity = Pick<Existing, 'dev' | 'ino' | 'bornNs'>;

export const isSame = (a: Identity, b: Identity): boolean => a.dev === b.dev && a.ino === b.ino && a.bornNs === b.bornNs;

/** Records of an answer of statAt or scanDirectory, in order. */
export function* stats(answer: Uint8Array): Generator<Existing> {
  const view = viewOf(answer);
  for (let at = 4; at < answer.byteLength; at += view.getUint32(at, true)) {
    yield {
      name: answer.subarray(at + STAT_NAME_AT, at + STAT_NAME_AT + view.getUint16(at + 4, true)),
      type: answer[at + 6]!,
      mode: view.getUint32(at + 8, true),
      nlink: view.getUint32(at + 12, true),
      uid: view.getUint32(at + 16, true),
      gid: view.getUint32(at + 20, true),
      ino: view.getBigUint64(at + 24, true),
      sizeBytes: Number(view.getBigInt64(at + 32, true)),
      mtimeSec: Number(view.getBigInt64(at + 40, true)),
      mtimeNsec: view.getUint32(at + 56, true),
      bornNs: view.getBigInt64(at + 64, true) * 1_000_000_000n + BigInt(view.getUint32(at + 72, true)),
      dev: (BigInt(view.getUint32(at + 84, true)) << 32n) | BigInt(view.getUint32(at + 88, true)),
    };
  }
}

/** What stands under `name`, not followed; undefined if nothing. @throws system errors */
export function existingAt(directoryFd: number, name: Uint8Array): Existing | undefined {
  const answer = native().statAt(directoryFd, name);
  return answer === undefined ? undefined : stats(answer).next().value!;
}

/** What the open file `fd` is. */
export function existingOf(fd: number): Existing {
  return stats(native().statFd(fd)).next().value!;
}

/** The error for an entry that is not the one that was seen or made under this name before. */
export function exchanged(): NodeJS.ErrnoException {
  return Object.assign(new Error('ESTALE: another entry has taken its place'), { code: 'ESTALE', errno: -116, syscall: 'open' });
}
