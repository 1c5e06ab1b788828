/** How often each of many kinds of event is let through, and how many of each were held back. Remembers so many kinds and no more. Pure. */

const DAY_MS = 86_400_000;
/** Kinds that are remembered: those of a few hundred authors. */
const MAX_KEYS = 4096;

interface Limit {
  lastMs: number;
  leftOut: number;
  /** Of what was left out last. */
  detail: string;
  day: number;
  today: number;
}

export class Limits {
  readonly #everyMs: number;
  readonly #perDay: number;
  /** The one that passed last stands at the end. */
  readonly #limits = new Map<string, Limit>();

  constructor({ everyMs, perDay = Number.POSITIVE_INFINITY }: { readonly everyMs: number; readonly perDay?: number }) {
    this.#everyMs = everyMs;
    this.#perDay = perDay;
  }

  get size(): number {
    return this.#limits.size;
  }

  /** How many of `key` were held back since the last that passed; undefined when this one is held back too. */
  pass(key: string, nowMs: number, detail: string): number | undefined {
    const known = this.#limits.get(key);
    const limit = known ?? { lastMs: Number.NEGATIVE_INFINITY, leftOut: 0, detail, day: 0, today: 0 };
    if (known !== undefined && !this.#isFree(limit, nowMs)) {
      limit.leftOut++;
      limit.detail = detail;
      return undefined;
    }
    return this.#let(key, limit, nowMs);
  }

  /** Kinds of which some were held back and the next would pass; they count as passed. */
  due(nowMs: number): { readonly key: string; readonly detail: string; readonly leftOut: number }[] {
    const found: { key: string; detail: string; leftOut: number }[] = [];
    for (const [key, limit] of [...this.#limits]) {
      if (limit.leftOut === 0 || !this.#isFree(limit, nowMs)) continue;
      // Those that are told stand for themselves.
      found.push({ key, detail: limit.detail, leftOut: this.#let(key, limit, nowMs) - 1 });
    }
    return found;
  }

  #isFree(limit: Limit, nowMs: number): boolean {
    const today = limit.day === Math.floor(nowMs / DAY_MS) ? limit.today : 0;
    if (today >= this.#perDay) return false;
    // A clock that went back must not silence anything.
    return nowMs < limit.lastMs || nowMs - limit.lastMs >= this.#everyMs;
  }

  #let(key: string, limit: Limit, nowMs: number): number {
    const { leftOut } = limit;
    const day = Math.floor(nowMs / DAY_MS);
    limit.today = limit.day === day ? limit.today + 1 : 1;
    limit.day = day;
    limit.lastMs = nowMs;
    limit.leftOut = 0;
    this.#limits.delete(key);
    this.#limits.set(key, limit);
    if (this.#limits.size > MAX_KEYS) for (const oldest of this.#limits.keys()) return this.#forget(oldest, leftOut);
    return leftOut;
  }

  #forget(key: string, leftOut: number): number {
    this.#limits.delete(key);
    return leftOut;
  }
}
