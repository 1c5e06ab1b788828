/** What a vault looks at by itself every minute: clocks that were moved, snapshots that did not come, what is to be pruned. */
import { toHex } from '../bytes.js';
import { seriesOf, standings } from '../ledger/standing.js';
import { termsOf } from '../retention/policy.js';
import type { Guard } from './guard.js';
import { pruneByItself } from './prune.js';

const EVERY_SEC = 60;
const PRUNE_MS = 3_600_000;
/** A snapshot that is so many times later than expected is missed. */
export const LATE_FACTOR = 1.5;

export class Watch {
  readonly #guard: Guard;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | undefined;
  #jumped = false;
  #prunedAt = Number.NEGATIVE_INFINITY;
  /** Newest snapshot of each series for which its absence was told. */
  readonly #told = new Map<string, string>();

  constructor(guard: Guard, everySec = EVERY_SEC) {
    this.#guard = guard;
    this.#everyMs = everySec * 1000;
  }

  start(): void {
    this.#timer = setTimeout(() => void this.#turn(), Math.min(this.#everyMs, 1000)).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #turn(): Promise<void> {
    try {
      await this.look();
    } catch (error) {
      this.#guard.options.onLog?.(`looking after the repository failed: ${(error as Error).message}`);
    }
    if (this.#timer !== undefined) this.#timer = setTimeout(() => void this.#turn(), this.#everyMs).unref();
  }

  /** Once an hour: pruning reads all that is stored. */
  async #prune(): Promise<void> {
    const now = performance.now();
    if (now - this.#prunedAt < PRUNE_MS) return;
    this.#prunedAt = now;
    try {
      await pruneByItself(this.#guard);
    } catch (error) {
      this.#guard.alerts.tell('prune-failed', (error as Error).message);
    }
  }

  /** One look; also for tests. */
  async look(): Promise<void> {
    const { clock, alerts, chains } = this.#guard;
    const { earlyMs, lateMs, jumped } = clock.now();
    if (jumped && !this.#jumped)
      alerts.tell(
        'clock-jump',
        `the clock of this machine is more than a day away from what the vault has seen pass: it counts ${new Date(earlyMs).toISOString()} for expiry and ${new Date(lateMs).toISOString()} for new snapshots`,
      );
    this.#jumped = jumped;
    alerts.tellLeftOut();
    await this.#guard.save();
    await this.#prune();
    if (chains === undefined) return;
    const { classes } = termsOf(chains.policy());
    if (!classes.some(({ expectSec }) => expectSec > 0)) return;
    const newest = standings(chains.ledger()).filter((standing) => standing.newest);
    for (const standing of newest) {
      const { expectSec = 0 } = classes.find(({ name }) => name === standing.payload.class) ?? {};
      const hex = toHex(standing.id);
      const age = lateMs / 1000 - standing.received.sec;
      if (expectSec === 0 || age <= expectSec * LATE_FACTOR || this.#told.get(seriesOf(standing)) === hex) continue;
      this.#told.set(seriesOf(standing), hex);
      alerts.tell(
        'snapshot-missing',
        `writer ${toHex(standing.entry.author).slice(0, 8)} has sent no complete snapshot of stream ${toHex(standing.payload.stream).slice(0, 8)} for ${spanText(age)}; one is expected every ${spanText(expectSec)}`,
        // Each stream is told once for each of its snapshots, so none may hide another.
        `${toHex(standing.entry.author)}/${toHex(standing.payload.stream)}`,
      );
    }
  }
}

/** `90 seconds`, `25 minutes`, `26.5 hours`: the unit in which a person would say it. */
function spanText(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} seconds`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} minutes` : `${Math.round(seconds / 360) / 10} hours`;
}
