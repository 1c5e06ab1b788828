/** Payloads of ledger entries as bytes (docs/format.md §11). Pure; says nothing of who may write them. */
import type { CborReader, CborWriter } from './cbor.js';
import {
  type ChainHead,
  DURATIONS,
  type Durations,
  EntryType,
  type Payload,
  type PolicyPayload,
  type Receipt,
  type RetentionClass,
} from './payload.js';

function writeDurations(out: CborWriter, durations: Durations): CborWriter {
  for (const name of DURATIONS) out.int(durations[name]);
  return out;
}

function readDurations(from: CborReader): Durations {
  const [minimumSec, hourSec, daySec, weekSec, monthSec, yearSec] = DURATIONS.map(() => from.uint()) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return { minimumSec, hourSec, daySec, weekSec, monthSec, yearSec };
}

function writeTexts(out: CborWriter, texts: readonly string[]): CborWriter {
  out.array(texts.length);
  for (const text of texts) out.text(text);
  return out;
}

function readTexts(from: CborReader): string[] {
  const texts: string[] = [];
  for (let left = from.array(); left > 0; left--) texts.push(from.text());
  return texts;
}

function writePolicy(out: CborWriter, payload: PolicyPayload): void {
  const { terms } = payload;
  writeDurations(out.array(terms === undefined ? 6 : 12), payload);
  if (terms === undefined) return;
  out
    .int(terms.waitSec)
    .int(terms.longestSec)
    .int(terms.autoPrune ? 1 : 0)
    .int(terms.dailyBytes)
    .int(terms.dailySnapshots);
  out.array(terms.classes.length);
  for (const one of terms.classes) {
    writeDurations(out.array(11).text(one.name), one);
    for (const texts of [one.hosts, one.labels, one.tags]) writeTexts(out, texts);
    out.int(one.expectSec);
  }
}

function readPolicy(from: CborReader): PolicyPayload {
  const items = from.array();
  if (items !== 6 && items !== 12) from.fail('a policy of a wrong length');
  const durations = readDurations(from);
  if (items === 6) return durations;
  const [waitSec, longestSec, auto, dailyBytes, dailySnapshots] = [
    from.uint(),
    from.uint(),
    from.uint(1),
    from.uint(),
    from.uint(),
  ];
  const classes: RetentionClass[] = [];
  for (let left = from.array(); left > 0; left--) {
    from.array(11);
    const name = from.text();
    if (name === '' || classes.some((other) => other.name === name)) from.fail('a retention class without a name of its own');
    const own = readDurations(from);
    classes.push({
      name,
      ...own,
      hosts: readTexts(from),
      labels: readTexts(from),
      tags: readTexts(from),
      expectSec: from.uint(),
    });
  }
  return { ...durations, terms: { waitSec, longestSec, autoPrune: auto === 1, dailyBytes, dailySnapshots, classes } };
}

/** Joined 32-byte ids, strictly rising. */
function readIds(from: CborReader): Uint8Array {
  const ids = from.bytes();
  if (ids.byteLength % 32 !== 0) from.fail('ids of an impossible length');
  for (let at = 32; at < ids.byteLength; at += 32)
    if (Buffer.compare(ids.subarray(at - 32, at), ids.subarray(at, at + 32)) >= 0) from.fail('ids out of order');
  return ids;
}

function readHead(from: CborReader): ChainHead {
  return { author: from.bytes(16), count: from.uint(), head: from.bytes(32) };
}

/** Writes the payload's array. @throws RangeError for a type that this program does not know */
export function writePayload(out: CborWriter, payload: Payload): void {
  if ('reserved' in payload) throw new RangeError('entries of an unknown type are not written');
  switch (payload.type) {
    case EntryType.genesis:
      out.array(0);
      return;
    case EntryType.writerCert:
      out.array(2).bytes(payload.publicKey).bytes(payload.domain);
      return;
    case EntryType.retire:
      out.array(4).bytes(payload.author).int(payload.count).bytes(payload.head).text(payload.reason);
      return;
    case EntryType.policy:
      writePolicy(out, payload);
      return;
    case EntryType.snapshot:
      out
        .array(payload.class === undefined ? 5 : 6)
        .bytes(payload.manifest)
        .bytes(payload.stream);
      out.int(payload.state).int(payload.retainUntilSec).int(payload.slots);
      if (payload.class !== undefined) out.text(payload.class);
      return;
    case EntryType.extend:
      out.array(3).bytes(payload.snapshots).int(payload.untilSec).text(payload.reason);
      return;
    case EntryType.hold:
      out.array(2).bytes(payload.snapshots).text(payload.reason);
      return;
    case EntryType.release:
      out.array(3).bytes(payload.author).int(payload.sequence).text(payload.reason);
      return;
    case EntryType.receipt:
      out.array(payload.receipts.length);
      for (const one of payload.receipts)
        out.array(5).bytes(one.author).int(one.sequence).bytes(one.hash).int(one.retainUntilSec).int(one.slots);
      return;
    case EntryType.pruneIntent:
      out.array(3).bytes(payload.packs).bytes(payload.snapshots).bytes(payload.indexes);
      return;
    case EntryType.pruneDone:
      out.array(5).bytes(payload.author).int(payload.sequence);
      out.bytes(payload.packs).bytes(payload.snapshots).bytes(payload.indexes);
      return;
    case EntryType.keyRotate:
      out.array(2).int(payload.role).bytes(payload.publicKey);
      return;
    case EntryType.incident:
      out.array(2).text(payload.code).text(payload.detail);
      return;
    case EntryType.tags:
      out.array(2).bytes(payload.domain).bytes(payload.sealed);
      return;
    case EntryType.cert:
      out.array(2).int(payload.role).bytes(payload.publicKey);
      return;
    case EntryType.acceptFork:
      out.array(2).array(payload.heads.length);
      for (const { author, count, head } of payload.heads) out.array(3).bytes(author).int(count).bytes(head);
      out.text(payload.reason);
      return;
  }
}

/** Reads the payload of an entry of `type`. @throws CorruptError */
export function readPayload(from: CborReader, type: number): Payload {
  switch (type) {
    case EntryType.genesis:
      from.array(0);
      return { type };
    case EntryType.writerCert:
      from.array(2);
      return { type, publicKey: from.bytes(32), domain: from.bytes(16) };
    case EntryType.retire:
      from.array(4);
      return { type, ...readHead(from), reason: from.text() };
    case EntryType.policy:
      return { type, ...readPolicy(from) };
    case EntryType.snapshot: {
      const items = from.array();
      if (items !== 5 && items !== 6) from.fail('a snapshot entry of a wrong length');
      const base = { manifest: from.bytes(32), stream: from.bytes(16), state: from.uint(1) };
      const kept = { retainUntilSec: from.uint(), slots: from.uint(31) };
      if (items === 5) return { type, ...base, ...kept };
      const name = from.text();
      if (name === '') from.fail('a retention class without a name');
      return { type, ...base, ...kept, class: name };
    }
    case EntryType.extend:
      from.array(3);
      return { type, snapshots: readIds(from), untilSec: from.uint(), reason: from.text() };
    case EntryType.hold:
      from.array(2);
      return { type, snapshots: readIds(from), reason: from.text() };
    case EntryType.release:
      from.array(3);
      return { type, author: from.bytes(16), sequence: from.uint(), reason: from.text() };
    case EntryType.receipt: {
      const receipts: Receipt[] = [];
      for (let left = from.array(); left > 0; left--) {
        from.array(5);
        const entry = { author: from.bytes(16), sequence: from.uint(), hash: from.bytes(32) };
        receipts.push({ ...entry, retainUntilSec: from.uint(), slots: from.uint(31) });
      }
      return { type, receipts };
    }
    case EntryType.pruneIntent:
      from.array(3);
      return { type, packs: readIds(from), snapshots: readIds(from), indexes: readIds(from) };
    case EntryType.pruneDone: {
      from.array(5);
      const intent = { author: from.bytes(16), sequence: from.uint() };
      return { type, ...intent, packs: readIds(from), snapshots: readIds(from), indexes: readIds(from) };
    }
    case EntryType.keyRotate:
      from.array(2);
      return { type, role: from.uint(1), publicKey: from.bytes(32) };
    case EntryType.incident:
      from.array(2);
      return { type, code: from.text(), detail: from.text() };
    case EntryType.tags:
      from.array(2);
      return { type, domain: from.bytes(16), sealed: from.bytes() };
    case EntryType.cert:
      from.array(2);
      return { type, role: from.uint(1), publicKey: from.bytes(32) };
    case EntryType.acceptFork: {
      from.array(2);
      const heads: ChainHead[] = [];
      for (let left = from.array(); left > 0; left--) {
        from.array(3);
        heads.push(readHead(from));
      }
      return { type, heads, reason: from.text() };
    }
    default:
      if (type === 0 || from.peek() !== 'array') from.fail('an entry of an impossible type or payload');
      from.skip(1);
      return { type, reserved: true };
  }
}
