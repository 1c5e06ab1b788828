/**
 * Progress on stderr: a bar with rate and time left on a terminal, otherwise a line a minute at most, a JSON object with --json, nothing with -q.
 */
import type { SingleBar } from 'cli-progress';
import { bytesText, durationText } from './human.js';
import type { Output } from './output.js';

export interface Step {
  readonly files: number;
  readonly bytes: number;
  readonly totalFiles?: number | undefined;
  /** Undefined or 0: unknown. */
  readonly totalBytes?: number | undefined;
  /** What is counted, if not files. */
  readonly noun?: string;
}

const BAR_INTERVAL_MS = 200;
const LINE_INTERVAL_MS = 60_000;
const CLEAR_LINE = '\r\u001b[K';

export class Progress {
  readonly #out: Output;
  readonly #verb: string;
  readonly #nowMs: () => number;
  readonly #startedMs: number;
  readonly #terminal: boolean;
  #nextMs: number;
  #bar: SingleBar | undefined;
  #loading = false;
  #stopped = false;

  constructor(out: Output, verb: string, nowMs: () => number = () => performance.now()) {
    this.#out = out;
    this.#verb = verb;
    this.#nowMs = nowMs;
    this.#startedMs = nowMs();
    this.#terminal = out.bar.isTTY === true && !out.json;
    this.#nextMs = this.#startedMs + (this.#terminal ? 0 : LINE_INTERVAL_MS);
    if (this.#terminal) out.beforeStderr = () => void (this.#bar !== undefined && out.bar.write(CLEAR_LINE));
  }

  /** Call as often as is convenient. */
  update(step: Step): void {
    const now = this.#nowMs();
    if (this.#out.quiet || this.#stopped || now < this.#nextMs) return;
    this.#nextMs = now + (this.#terminal ? BAR_INTERVAL_MS : LINE_INTERVAL_MS);
    const seconds = Math.max(0.001, (now - this.#startedMs) / 1000);
    const rate = step.bytes / seconds;
    const [done, total] = amounts(step);
    const left = total > done && done > 0 ? ((total - done) / done) * seconds : undefined;
    if (this.#terminal) this.#draw(step, rate, left);
    else this.#out.status(`${this.#verb} ${words(step, rate, left)}`, record(step, seconds, left));
  }

  #draw(step: Step, rate: number, left: number | undefined): void {
    const [done, total] = amounts(step);
    const payload = { words: words(step, rate, left) };
    if (this.#bar !== undefined) {
      this.#bar.setTotal(Math.max(total, 1));
      this.#bar.update(Math.min(done, Math.max(total, 1)), payload);
    } else if (!this.#loading) {
      this.#loading = true;
      void import('cli-progress').then(({ default: { SingleBar, Presets } }) => {
        if (this.#stopped) return;
        const format = total > 0 ? `${this.#verb} [{bar}] {percentage}% {words}` : `${this.#verb} {words}`;
        // The cursor stays: a killed process could not give it back.
        const options = { format, stream: this.#out.bar, clearOnComplete: true, barsize: 24, fps: 5, hideCursor: null };
        this.#bar = new SingleBar(options, Presets.legacy);
        this.#bar.start(Math.max(total, 1), Math.min(done, Math.max(total, 1)), payload);
      });
    }
  }

  /** Takes the bar away. */
  stop(): void {
    this.#stopped = true;
    this.#out.beforeStderr = undefined;
    if (this.#bar === undefined) return;
    this.#bar.stop();
    this.#bar = undefined;
  }
}

/** How much of how much: bytes where their total is known, else files; a total of 0 is unknown. */
function amounts(step: Step): [done: number, total: number] {
  return step.totalBytes ? [step.bytes, step.totalBytes] : [step.files, step.totalFiles ?? 0];
}

function words(step: Step, rate: number, left: number | undefined): string {
  const of = (done: string, total: string | undefined): string => (total === undefined ? done : `${done} of ${total}`);
  const bytes = of(bytesText(step.bytes), step.totalBytes ? bytesText(step.totalBytes) : undefined);
  const files = of(String(step.files), step.totalFiles ? String(step.totalFiles) : undefined);
  return `${bytes}, ${files} ${step.noun ?? 'files'}, ${bytesText(rate)}/s${left === undefined ? '' : `, ${durationText(left)} left`}`;
}

function record(step: Step, seconds: number, left: number | undefined): Record<string, unknown> {
  return {
    seconds_elapsed: Math.round(seconds),
    ...(left === undefined ? {} : { seconds_remaining: Math.round(left) }),
    ...(step.totalBytes ? { total_bytes: step.totalBytes } : {}),
    ...(step.totalFiles ? { total_files: step.totalFiles } : {}),
    bytes_done: step.bytes,
    files_done: step.files,
  };
}
