/** What a vault's receipts say: of each entry where it stands in its chain, and of a snapshot until when and in which slots it is kept. Decides and writes nothing else. */
import { toHex } from '../bytes.js';
import { State } from '../format/manifest.js';
import { payloadOf, type Receipt } from '../format/payload.js';
import { termsOf } from '../retention/policy.js';
import { retain } from '../retention/slots.js';
import type { Acceptable } from './accept.js';
import type { Chains } from './chains.js';

/** Keeps an entry well below its largest size: 4,096 receipts are 320 KiB. */
const RECEIPTS_PER_ENTRY = 4096;

/** Of what waits, what the next receipt entry is for. Policies come first: what waits with them goes by them, whatever their authors' clocks said. */
export function takeForReceipt(pending: readonly Acceptable[]): { some: readonly Acceptable[]; rest: Acceptable[] } {
  const isPolicy = ({ entry }: Acceptable): boolean => payloadOf(entry.payload, 'policy') !== undefined;
  const first = pending.some(isPolicy) ? pending.filter(isPolicy) : pending;
  const some = first.slice(0, RECEIPTS_PER_ENTRY);
  const taken = new Set(some);
  return { some, rest: pending.filter((one) => !taken.has(one)) };
}

/** The receipts for `entries`, received at `nowSec` one after another. */
export function receiptsFor(entries: readonly Acceptable[], chains: Chains, nowSec: number): Receipt[] {
  // Several of one series in one receipt: what an earlier one takes is not there for a later.
  const taken = new Map<string, number[]>();
  return entries.map(({ entry, hash }) => {
    const snapshot = payloadOf(entry.payload, 'snapshot');
    const place = { author: entry.author, sequence: entry.sequence, hash };
    if (snapshot === undefined) return { ...place, retainUntilSec: 0, slots: 0 };
    const policy = chains.policy();
    const chosen = termsOf(policy).classes.find(({ name }) => name === snapshot.class);
    const key = `${toHex(entry.author)}/${toHex(snapshot.stream)}/${snapshot.class ?? ''}`;
    const more = taken.get(key) ?? [];
    taken.set(key, more);
    const complete = snapshot.state === State.complete;
    const kept = retain(policy, chosen, nowSec, complete, [...chains.earlier(entry.author, snapshot), ...more]);
    if (complete) more.push(nowSec);
    return { ...place, ...kept };
  });
}
