/** Asking for a passphrase on the terminal, without echo. The prompt goes to stderr, so that stdout stays data. */
import { InterruptedError } from '../lib/index.js';

const ENTER = [0x0d, 0x0a];
const BACKSPACE = [0x08, 0x7f];
const CONTROL_C = 0x03;
const CONTROL_D = 0x04;
const CONTROL_U = 0x15;

/** Whether there is a person to ask. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true;
}

/** Bytes without their last character in UTF-8. */
function withoutLast(bytes: readonly number[]): number[] {
  let end = bytes.length - 1;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end--;
  return bytes.slice(0, Math.max(0, end));
}

/** Reads one line from the terminal without showing it. @throws InterruptedError on Ctrl-C, or Ctrl-D on an empty line */
export async function askSecret(question: string): Promise<string> {
  const input = process.stdin;
  // First the mode, then the question: what is typed in answer to it is never echoed.
  input.setRawMode(true);
  process.stderr.write(question);
  let typed: number[] = [];
  let onSignal: (() => void) | undefined;
  try {
    return await new Promise<string>((resolve, reject) => {
      const onData = (data: Buffer): void => {
        for (const byte of data) {
          if (ENTER.includes(byte)) {
            input.off('data', onData);
            resolve(Buffer.from(typed).toString('utf8'));
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
    process.stderr.write('\n');
  }
}

/** Asks twice until both agree; three attempts. Undefined when they never did. */
export async function askNewSecret(question: string): Promise<string | undefined> {
  for (let attempt = 0; attempt < 3; attempt++) {
    const first = await askSecret(`${question}: `);
    if (first === '') {
      process.stderr.write('It must not be empty.\n');
      continue;
    }
    if ((await askSecret(`${question}, again: `)) === first) return first;
    process.stderr.write('The two differ.\n');
  }
  return undefined;
}
