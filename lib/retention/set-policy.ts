/** Showing and changing the policy. A change is a new entry: it holds for snapshots that come after it and for none before. */
import {
  DURATIONS,
  type Durations,
  EntryType,
  MAX_VAULT_EXTENSION_SEC,
  type PolicyPayload,
  type PolicyTerms,
  payloadOf,
  type RetentionClass,
} from '../format/payload.js';
import { compareTimes, nextTime, type Timestamp, timeOfMs } from '../format/time.js';
import { appendEntry } from '../ledger/append.js';
import { type Ledger, loadLedger } from '../ledger/ledger.js';
import { currentPolicy, termsOf } from './policy.js';
import { GRACE_SEC } from './prune-plan.js';
import { nowOf, type RetentionOptions, type RetentionPlace, signerOf } from './signer.js';

/** A policy with its terms, be they said or by default. */
export interface Policy extends Durations {
  readonly terms: PolicyTerms;
}

export interface PolicyInForce {
  readonly policy: Policy;
  /** Who set it and when; absent where no entry did. */
  readonly author?: Uint8Array;
  readonly time?: Timestamp;
}

export interface PolicyChange extends Partial<Durations>, Partial<Omit<PolicyTerms, 'classes'>> {
  /** Classes to add or change, by name; what an existing one is not given stays as it is, a new one gets the default class's durations. */
  readonly classes?: readonly (Partial<RetentionClass> & Pick<RetentionClass, 'name'>)[];
  readonly removeClasses?: readonly string[];
}

const LIMITS = ['waitSec', 'longestSec', 'dailyBytes', 'dailySnapshots'] as const;
const OPTIONAL = ['extensionSec'] as const;

function full(policy: PolicyPayload): Policy {
  const { minimumSec, hourSec, daySec, weekSec, monthSec, yearSec } = policy;
  return { minimumSec, hourSec, daySec, weekSec, monthSec, yearSec, terms: termsOf(policy) };
}

function inForce(ledger: Ledger): PolicyInForce {
  const entry = ledger.entries.findLast(({ payload }) => payloadOf(payload, 'policy') !== undefined);
  return {
    policy: full(currentPolicy(ledger.entries)),
    ...(entry === undefined ? {} : { author: entry.author, time: entry.time }),
  };
}

/** The policy in force. Needs no key. @throws CorruptError, RolledBackError */
export async function showPolicy(place: RetentionPlace): Promise<PolicyInForce> {
  return inForce(await loadLedger(place));
}

/** @throws RangeError naming what is wrong */
function checkPolicy({ terms, ...durations }: Policy): void {
  const seconds = (name: string, value: number): void => {
    if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${name} must be a whole number from 0 on, not ${value}`);
  };
  for (const name of DURATIONS) seconds(name.replace('Sec', ''), durations[name]);
  for (const name of LIMITS) seconds(name.replace('Sec', ''), terms[name]);
  if (terms.extensionSec !== undefined) seconds('extension', terms.extensionSec);
  if ((terms.extensionSec ?? 0) > MAX_VAULT_EXTENSION_SEC)
    throw new RangeError(`an extension by a vault is ${MAX_VAULT_EXTENSION_SEC / 86_400} days at most, whatever a policy says`);
  if (terms.waitSec < GRACE_SEC)
    throw new RangeError('the wait must be a day at least: pruning never goes faster, whatever a policy says');
  for (const one of terms.classes) {
    if (one.name === '') throw new RangeError('a class needs a name');
    for (const name of DURATIONS) seconds(`${name.replace('Sec', '')} of class ${one.name}`, one[name]);
    seconds(`expect of class ${one.name}`, one.expectSec);
  }
}

/** `policy` with `change`. Pure. @throws RangeError for what cannot be a policy, or a class to remove that is not there */
function changedPolicy(policy: Policy, change: PolicyChange): Policy {
  const { classes: changed = [], removeClasses = [], ...rest } = change;
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  const pick = (names: readonly string[]): Record<string, unknown> =>
    Object.fromEntries(Object.entries(given).filter(([name]) => names.includes(name)));
  const durations = { ...policy, ...pick(DURATIONS) };
  const classes = [...policy.terms.classes];
  for (const name of removeClasses) {
    const at = classes.findIndex((one) => one.name === name);
    if (at < 0) throw new RangeError(`there is no class ${name}`);
    classes.splice(at, 1);
  }
  for (const one of changed) {
    const at = classes.findIndex(({ name }) => name === one.name);
    const { minimumSec, hourSec, daySec, weekSec, monthSec, yearSec } = durations;
    const before: RetentionClass = classes[at] ?? {
      name: one.name,
      ...{ minimumSec, hourSec, daySec, weekSec, monthSec, yearSec },
      hosts: [],
      labels: [],
      tags: [],
      expectSec: 0,
    };
    const after = { ...before, ...Object.fromEntries(Object.entries(one).filter(([, value]) => value !== undefined)) };
    if (at < 0) classes.push(after);
    else classes[at] = after;
  }
  const { extensionSec, ...kept } = { ...policy.terms, ...pick([...LIMITS, ...OPTIONAL, 'autoPrune']), classes };
  // None at all is written as none.
  const terms = extensionSec === undefined || extensionSec === 0 ? kept : { ...kept, extensionSec };
  const next: Policy = { ...durations, terms: { ...terms, longestSec: longestFor(change, terms.longestSec) } };
  checkPolicy(next);
  return next;
}

/** The longest promise that the change needs: a duration that is given would else be cut without a word. @throws RangeError when both are given and do not fit */
function longestFor(change: PolicyChange, longestSec: number): number {
  if (longestSec === 0) return 0;
  const given = [change, ...(change.classes ?? [])].flatMap((one) => DURATIONS.map((name) => one[name] ?? 0));
  const needed = Math.max(...given);
  if (needed <= longestSec) return longestSec;
  if (change.longestSec === undefined) return needed;
  const [want, have] = [needed, longestSec].map((sec) => `${Math.ceil(sec / 86_400)} days`);
  throw new RangeError(
    `${want} are more than the longest of ${have} that is given with it, so no snapshot would be kept that long; give a longer --longest, or a shorter duration`,
  );
}

/**
 * Changes the policy for snapshots to come.
 *
 * @returns the policy before and after; nothing is written when they are the same
 * @throws RoleError without an admin's key, RefusedError when it was retired, RangeError for what cannot be a policy
 */
export async function setPolicy(
  place: RetentionPlace,
  change: PolicyChange,
  options: RetentionOptions = {},
): Promise<{ before: Policy; after: Policy; changed: boolean }> {
  const ledger = await loadLedger(place);
  const seed = signerOf(place, ledger, options, 'changing the policy');
  const { policy: before, time: since } = inForce(ledger);
  const after = changedPolicy(before, change);
  const changed = JSON.stringify(before) !== JSON.stringify(after);
  if (changed) {
    // The last in merged order is in force: it must not seem older than the one it replaces.
    const now = timeOfMs(nowOf(options));
    const time = since !== undefined && compareTimes(now, since) <= 0 ? nextTime(since) : now;
    await appendEntry(place, seed, time, () => ({ type: EntryType.policy, ...after }));
  }
  return { before, after, changed };
}
