/**
 * What somebody should hear of: a command gets one JSON line for each event, and the vault's chain an incident entry, so that every reader sees it. What an attacker can
 * cause a thousand times a second is limited for each code and author, and says how many were left out; what changes who may do what is never left out.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { printable } from '../printable.js';
import { AlertCommands } from './alert-command.js';
import { Limits } from './alert-limits.js';

export type AlertCode =
  | 'refused-deletion'
  | 'refused-overwrite'
  | 'refused-entry'
  | 'refused-object'
  | 'object-replaced'
  | 'policy-change'
  | 'key-added'
  | 'key-retired'
  | 'slot-change'
  | 'hold-released'
  | 'slot-change'
  | 'stream-retired'
  | 'prune-intent'
  | 'rollback'
  | 'ledger-refused'
  | 'clock-jump'
  | 'snapshot-missing'
  | 'quota'
  | 'prune-failed';

/** Each of these is an entry that an admin signed, or the end of all trust: a harmless one must not hide another. */
const NEVER_LIMITED: ReadonlySet<AlertCode> = new Set([
  'policy-change',
  'key-added',
  'key-retired',
  'hold-released',
  'slot-change',
  'stream-retired',
  'prune-intent',
  'rollback',
] satisfies AlertCode[]);

export interface AlertSettings {
  /** Run by /bin/sh for each alert, with the JSON line on its standard input. */
  readonly command?: string | undefined;
  readonly vault: string;
  /** Writes an incident entry. */
  readonly incident: (code: string, detail: string) => Promise<void>;
  readonly onLog: (line: string) => void;
  readonly nowMs: () => number;
}

/** An author's code runs the command this often at most, and stands in the ledger so often. */
const COMMAND_MS = 60_000;
const INCIDENT_MS = 600_000;
const INCIDENTS_PER_DAY = 20;
const MAX_DETAIL = 500;
/** A vault that ends waits so long for its commands. */
const CLOSE_MS = 10_000;
const MAX_LONG_DETAIL = 4000;

export class Alerts {
  readonly #settings: AlertSettings;
  readonly #told = new Limits({ everyMs: COMMAND_MS });
  readonly #entered = new Limits({ everyMs: INCIDENT_MS, perDay: INCIDENTS_PER_DAY });
  readonly #commands: AlertCommands | undefined;
  readonly #running = new Set<Promise<void>>();

  constructor(settings: AlertSettings) {
    this.#settings = settings;
    if (settings.command !== undefined) this.#commands = new AlertCommands(settings.command, settings.onLog);
  }

  /**
   * Tells of an event. Never throws, never waits.
   *
   * @param author - who caused it, as far as that is known for sure: an author id, hex, or the role of a connection; absent: the vault itself
   */
  tell(code: AlertCode, detail: string, author = ''): void {
    const now = this.#settings.nowMs();
    if (NEVER_LIMITED.has(code)) {
      const text = plain(detail, MAX_LONG_DETAIL);
      this.#command(code, text, author, now, 0);
      this.#incident(code, text, 0);
      return;
    }
    const text = plain(detail, MAX_DETAIL);
    const key = `${code} ${author}`;
    const told = this.#told.pass(key, now, text);
    if (told !== undefined) this.#command(code, text, author, now, told);
    const entered = this.#entered.pass(key, now, text);
    if (entered !== undefined) this.#incident(code, text, entered);
  }

  /** Tells of what was left out since the last of its kind, when enough time has passed; else nobody would hear of it until there is another. */
  tellLeftOut(): void {
    const now = this.#settings.nowMs();
    for (const { key, detail, leftOut } of this.#told.due(now)) {
      const [code, author] = key.split(' ') as [AlertCode, string];
      this.#command(code, detail, author, now, leftOut);
    }
    for (const { key, detail, leftOut } of this.#entered.due(now)) this.#incident(key.split(' ')[0]!, detail, leftOut);
  }

  /** Waits for commands and incidents under way. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    await this.#commands?.settled();
  }

  /** Waits for a while for what is under way, and hands nothing on any more. */
  async close(): Promise<void> {
    this.tellLeftOut();
    const late = new AbortController();
    await Promise.race([this.settled(), sleep(CLOSE_MS, undefined, { signal: late.signal }).catch(() => undefined)]);
    late.abort();
    this.#commands?.close();
  }

  #command(code: AlertCode, text: string, author: string, nowMs: number, leftOut: number): void {
    this.#settings.onLog(`${code}: ${text}${more(leftOut)}`);
    const { vault } = this.#settings;
    const by = author === '' ? {} : { author };
    this.#commands?.run({ event: code, detail: text, time: new Date(nowMs).toISOString(), vault, ...by, suppressed: leftOut });
  }

  #incident(code: string, text: string, leftOut: number): void {
    const { incident, onLog } = this.#settings;
    const work = incident(code, `${text}${more(leftOut)}`).catch((error: Error) =>
      onLog(`incident not written: ${error.message}`),
    );
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
  }
}

const more = (leftOut: number): string => (leftOut > 0 ? ` (and ${leftOut} more since the last)` : '');

/** Text that may hold what others wrote, as one line that changes nothing on a terminal. */
function plain(text: string, most: number): string {
  const line = printable(text);
  return line.length > most ? `${line.slice(0, most)}… (${line.length - most} characters more)` : line;
}
