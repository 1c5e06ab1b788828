/** The vault's clocks on this machine: /proc and the wall read, the state kept in a file. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { advance, type ClockState, firstClock, lateClock, type Reading } from './clock.js';
import { readState, writeState } from './state.js';

/** Reads this machine. */
function readMachine(): Reading {
  try {
    const uptimeMs = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000;
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return { wallMs: Date.now(), uptimeMs, bootId };
  } catch {
    // Without /proc every process is a boot of its own, which is the careful way.
    return { wallMs: Date.now(), uptimeMs: performance.now(), bootId: `process ${process.pid} ${performance.timeOrigin}` };
  }
}

const FILE = 'clock.json';

export class VaultClock {
  readonly #stateDir: string;
  readonly #read: () => Reading;
  #state: ClockState;
  #savedEarlyMs = 0;

  private constructor(stateDir: string, read: () => Reading, state: ClockState) {
    this.#stateDir = stateDir;
    this.#read = read;
    this.#state = state;
  }

  /** @throws CorruptError when what is remembered is damaged */
  static async open(stateDir: string, read: () => Reading = readMachine): Promise<VaultClock> {
    const known = await readState(join(stateDir, FILE), isClockState);
    const clock = new VaultClock(stateDir, read, known ?? firstClock(read()));
    await clock.save();
    return clock;
  }

  /** Both clocks now, milliseconds since 1970. `jumped`: the wall is more than a day from the early clock. */
  now(): { earlyMs: number; lateMs: number; jumped: boolean } {
    const reading = this.#read();
    this.#state = advance(this.#state, reading);
    return { earlyMs: this.#state.earlyMs, ...lateClock(this.#state, reading.wallMs) };
  }

  async save(): Promise<void> {
    const { earlyMs } = this.now();
    if (earlyMs === this.#savedEarlyMs) return;
    await writeState(join(this.#stateDir, FILE), this.#state);
    this.#savedEarlyMs = earlyMs;
  }
}

function isClockState(value: unknown): value is ClockState {
  const { earlyMs, uptimeMs, bootId, ranMs } = value as Partial<ClockState>;
  return [earlyMs, uptimeMs, ranMs].every((n) => typeof n === 'number' && Number.isFinite(n)) && typeof bootId === 'string';
}
