/**
 * What a command hands on to the process that it leaves in the background: the passphrase and the key file as they were read, through a pipe. So a key that came from a pipe is read
 * once, and neither arguments nor environment of the lasting process hold anything.
 */
import { closeSync, readFileSync } from 'node:fs';

/** Set in the environment of the lasting process: the descriptor to read from. */
export const HANDED_VARIABLE = 'VARVE_HANDED_FD';

export interface HandedSecrets {
  readonly passphrase?: string;
  readonly keyFile?: Uint8Array;
}

export function encodeHanded({ passphrase, keyFile }: HandedSecrets): string {
  return JSON.stringify({ passphrase, keyFile: keyFile === undefined ? undefined : Buffer.from(keyFile).toString('base64') });
}

let handed: HandedSecrets | undefined;

/** What was handed to this process; undefined when nobody did. */
export function handedSecrets(): HandedSecrets | undefined {
  const fd = Number(process.env[HANDED_VARIABLE]);
  if (handed !== undefined || !Number.isInteger(fd) || fd < 3) return handed;
  delete process.env[HANDED_VARIABLE];
  const { passphrase, keyFile } = JSON.parse(readFileSync(fd, 'utf8')) as { passphrase?: string; keyFile?: string };
  closeSync(fd);
  handed = {
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(keyFile === undefined ? {} : { keyFile: new Uint8Array(Buffer.from(keyFile, 'base64')) }),
  };
  return handed;
}
