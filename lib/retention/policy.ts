/** The policy in force and the class of a snapshot (docs/format.md §11). Pure: every writer, vault and reader comes to the same answer. */
import type { LedgerEntry } from '../format/entry.js';
import {
  DEFAULT_TERMS,
  type Durations,
  type PolicyPayload,
  type PolicyTerms,
  payloadOf,
  type RetentionClass,
} from '../format/payload.js';
import { matchesPattern } from '../format/wildcard.js';
import { DEFAULT_POLICY } from './slots.js';

/** What a snapshot is matched by. */
export interface Workload {
  readonly host: string;
  readonly label: string;
  readonly tags: readonly string[];
}

/** The policy in force: the last in merged order. */
export function currentPolicy(entries: readonly LedgerEntry[]): PolicyPayload {
  for (let i = entries.length - 1; i >= 0; i--) {
    const policy = payloadOf(entries[i]!.payload, 'policy');
    if (policy !== undefined) return policy;
  }
  return DEFAULT_POLICY;
}

export function termsOf(policy: PolicyPayload): PolicyTerms {
  return policy.terms ?? DEFAULT_TERMS;
}

/** The first class that matches, or undefined for the default one. */
export function classFor(policy: PolicyPayload, { host, label, tags }: Workload): RetentionClass | undefined {
  return termsOf(policy).classes.find(
    (one) =>
      (one.hosts.length === 0 || one.hosts.some((pattern) => matchesPattern(pattern, host))) &&
      (one.labels.length === 0 || one.labels.some((pattern) => matchesPattern(pattern, label))) &&
      (one.tags.length === 0 || one.tags.some((pattern) => tags.some((tag) => matchesPattern(pattern, tag)))),
  );
}

/** Durations of the class called `name`; of the default class when there is no such one. */
export function durationsOf(policy: PolicyPayload, name: string | undefined): Durations {
  return termsOf(policy).classes.find((one) => one.name === name) ?? policy;
}
