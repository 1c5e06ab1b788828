/**
 * The immutable flag on stored objects (`chattr +i`): with it even root must take a step that leaves traces, and a process without CAP_LINUX_IMMUTABLE can take none.
 * Set in batches after objects are durable; cleared only for what pruning deletes.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const BATCH = 200;
const DELAY_MS = 200;

export class Immutable {
  readonly #onLog: (line: string) => void;
  #waiting: string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #setting: Promise<void> = Promise.resolve();

  constructor(onLog: (line: string) => void) {
    this.#onLog = onLog;
  }

  /** Takes the flag up for a file that was stored. */
  set(path: string): void {
    this.#waiting.push(path);
    this.#timer ??= setTimeout(() => void this.settle(), DELAY_MS).unref();
  }

  /** Resolves when every file so far has the flag, or its lack was told. */
  async settle(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const paths = this.#waiting.splice(0);
    this.#setting = this.#setting.then(async () => {
      for (let at = 0; at < paths.length; at += BATCH) await this.#chattr('+i', paths.slice(at, at + BATCH));
    });
    await this.#setting;
  }

  /** Takes the flag off a file that is about to be deleted. */
  async clear(path: string): Promise<void> {
    await this.settle();
    await this.#chattr('-i', [path]);
  }

  async #chattr(flag: '+i' | '-i', paths: readonly string[]): Promise<void> {
    try {
      await run('chattr', [flag, '--', ...paths]);
    } catch (error) {
      this.#onLog(`chattr ${flag}: ${(error as { stderr?: string }).stderr?.trim() || (error as Error).message}`);
    }
  }
}
