/**
 * What somebody should hear of: a command gets one JSON line for each event, and the vault's chain an incident entry, so that every reader sees it. Both are limited
 * per code: an attacker who causes a thousand events a second causes a few alerts, which say how many there were.
 */
import { spawn } from 'node:child_process';

export type AlertCode =
  | 'refused-deletion'
  | 'refused-overwrite'
  | 'refused-entry'
  | 'refused-object'
  | 'policy-change'
  | 'key-added'
  | 'key-retired'
  | 'slot-change'
  | 'hold-released'
  | 'rollback'
  | 'clock-jump'
  | 'snapshot-missing'
  | 'quota'
  | 'prune-failed';

export interface AlertSettings {
  /** Run by /bin/sh for each alert, with the JSON line on its standard input. */
  readonly command?: string | undefined;
  readonly vault: string;
  /** Writes an incident entry. */
  readonly incident: (code: string, detail: string) => Promise<void>;
  readonly onLog: (line: string) => void;
  readonly nowMs: () => number;
}

/** A code runs the command this often at most, and stands in the ledger so often. */
const COMMAND_MS = 60_000;
const INCIDENT_MS = 600_000;
const INCIDENTS_PER_DAY = 100;
const DAY_MS = 86_400_000;
const COMMAND_TIMEOUT_MS = 60_000;
const MAX_DETAIL = 500;

interface Limit {
  lastMs: number;
  suppressed: number;
}

export class Alerts {
  readonly #settings: AlertSettings;
  readonly #commands = new Map<string, Limit>();
  readonly #incidents = new Map<string, Limit>();
  #day = 0;
  #incidentsToday = 0;
  #running = new Set<Promise<void>>();

  constructor(settings: AlertSettings) {
    this.#settings = settings;
  }

  /** Tells of an event. Never throws, never waits. */
  tell(code: AlertCode, detail: string): void {
    const { command, vault, incident, onLog, nowMs } = this.#settings;
    const now = nowMs();
    const text = detail.slice(0, MAX_DETAIL);
    const told = pass(this.#commands, code, now, COMMAND_MS);
    if (told !== undefined) {
      onLog(`${code}: ${text}${told > 0 ? ` (and ${told} more since the last)` : ''}`);
      if (command !== undefined)
        this.#run(command, { event: code, detail: text, time: new Date(now).toISOString(), vault, suppressed: told });
    }
    const day = Math.floor(now / DAY_MS);
    if (day !== this.#day) {
      this.#day = day;
      this.#incidentsToday = 0;
    }
    if (this.#incidentsToday >= INCIDENTS_PER_DAY) return;
    const entered = pass(this.#incidents, code, now, INCIDENT_MS);
    if (entered === undefined) return;
    this.#incidentsToday++;
    const more = entered > 0 ? ` (and ${entered} more since the last)` : '';
    this.#track(incident(code, `${text}${more}`).catch((error: Error) => onLog(`incident not written: ${error.message}`)));
  }

  /** Waits for commands and incidents under way. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #track(work: Promise<void>): void {
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
  }

  #run(command: string, event: object): void {
    this.#track(
      new Promise((resolve) => {
        const child = spawn('/bin/sh', ['-c', command], { stdio: ['pipe', 'ignore', 'ignore'], timeout: COMMAND_TIMEOUT_MS });
        child.on('error', (error) => {
          this.#settings.onLog(`the alert command does not run: ${error.message}`);
          resolve();
        });
        child.on('exit', (status, signal) => {
          if (status !== 0) this.#settings.onLog(`the alert command ended with ${signal ?? `status ${status}`}`);
          resolve();
        });
        child.stdin.on('error', () => undefined);
        child.stdin.end(`${JSON.stringify(event)}\n`);
      }),
    );
  }
}

/** How many were held back since the last that passed; undefined when this one is held back too. */
function pass(limits: Map<string, Limit>, code: string, nowMs: number, everyMs: number): number | undefined {
  const limit = limits.get(code);
  if (limit === undefined) {
    limits.set(code, { lastMs: nowMs, suppressed: 0 });
    return 0;
  }
  // A clock that went back must not silence anything.
  if (nowMs >= limit.lastMs && nowMs - limit.lastMs < everyMs) {
    limit.suppressed++;
    return undefined;
  }
  const { suppressed } = limit;
  limit.lastMs = nowMs;
  limit.suppressed = 0;
  return suppressed;
}
