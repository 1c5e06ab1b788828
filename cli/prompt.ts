/** Asking for a passphrase on the terminal, without echo. The prompt goes to stderr, so that stdout stays data. */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { InterruptedError } from '../lib/index.js';
import type { Output } from './output.js';
import { type Secret, secretOf } from './passphrase-text.js';

const ENTER = [0x0d, 0x0a];
const BACKSPACE = [0x08, 0x7f];
const CONTROL_C = 0x03;
const CONTROL_D = 0x04;
const CONTROL_U = 0x15;

/** Whether there is a person to ask. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true;
}

/** Reads away what was typed before anybody asked. The terminal must be in raw mode, or a line that is not ended stays. */
function drain(): void {
  let fd: number | undefined;
  try {
    fd = openSync(
      process.platform === 'linux' ? '/proc/self/fd/0' : '/dev/tty',
      constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
    );
    const scratch = Buffer.alloc(4096);
    while (readSync(fd, scratch) > 0) scratch.fill(0);
  } catch {
    // EAGAIN: nothing more is there.
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Reads away what was typed for a question that will not come: the shell must not get it. */
export function discardTyped(): void {
  if (!canAsk()) return;
  process.stdin.setRawMode(true);
  drain();
  process.stdin.setRawMode(false);
}

/** Bytes without their last character in UTF-8. */
function withoutLast(bytes: readonly number[]): number[] {
  let end = bytes.length - 1;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.slice(0, Math.max(0, end));
}

/** Reads one line from the terminal without showing it. @throws InterruptedError on Ctrl-C, or Ctrl-D on an empty line; WrongKeyError for what is not UTF-8 */
export async function askSecret(out: Output, question: string): Promise<Secret> {
  const input = process.stdin;
  // First the mode, then the question: what is typed in answer to it is never echoed.
  input.setRawMode(true);
  drain();
  out.ask(question);
  let typed: number[] = [];
  let onSignal: (() => void) | undefined;
  try {
    return await new Promise<Secret>((resolve, reject) => {
      const onData = (data: Buffer): void => {
        for (const byte of data) {
          if (ENTER.includes(byte)) {
            input.off('data', onData);
            try {
              resolve(secretOf(Buffer.from(typed), 'what was typed'));
            } catch (error) {
              reject(error);
            }
            return;
          }
          if (byte === CONTROL_C || (byte === CONTROL_D && typed.length === 0)) {
            input.off('data', onData);
            reject(new InterruptedError('asking for the passphrase'));
            return;
          }
          if (BACKSPACE.includes(byte)) typed = withoutLast(typed);
          else if (byte === CONTROL_U) typed = [];
          else if (byte >= 0x20) typed.push(byte);
        }
      };
      onSignal = () => {
        input.off('data', onData);
        reject(new InterruptedError('asking for the passphrase'));
      };
      process.once('SIGINT', onSignal);
      process.once('SIGTERM', onSignal);
      input.on('data', onData);
      input.once('end', () => reject(new InterruptedError('asking for the passphrase')));
      input.resume();
    });
  } finally {
    typed = [];
    if (onSignal !== undefined) for (const signal of ['SIGINT', 'SIGTERM']) process.off(signal, onSignal);
    input.setRawMode(false);
    input.pause();
    out.ask('', '\n');
  }
}

/** Asks twice until both agree; three attempts. Undefined when they never did. */
export async function askNewSecret(out: Output, question: string): Promise<Secret | undefined> {
  for (let attempt = 0; attempt < 3; attempt++) {
    const first = await askSecret(out, `${question}: `);
    if (first.text === '') {
      out.ask('It must not be empty.', '\n');
      continue;
    }
    if ((await askSecret(out, `${question}, again: `)).text === first.text) return first;
    out.ask('The two differ.', '\n');
  }
  discardTyped();
  return undefined;
}
