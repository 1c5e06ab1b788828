/** Payloads of ledger entries as bytes (docs/format.md §11). Pure; says nothing of who may write them. */
import type { CborReader, CborWriter } from './cbor.js';
import {
  type ChainHead,
  DURATIONS,
  type Durations,
  EntryType,
  MAX_BAD_PACKS,
  MAX_SECOND,
  type Payload,
  type PolicyPayload,
  type Receipt,
  type RetentionClass,
  type SlotRecord,
} from './payload.js';

const ZEROS = new Uint8Array(32);

function writeDurations(out: CborWriter, durations: Durations): CborWriter {
  for (const name of DURATIONS) out.int(durations[name]);
  return out;
}

function readDurations(from: CborReader): Durations {
  const [minimumSec, hourSec, daySec, weekSec, monthSec, yearSec] = DURATIONS.map(() => from.uint(MAX_SECOND)) as [
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
  writeDurations(out.array(terms === undefined ? 6 : terms.extensionSec === undefined ? 12 : 13), payload);
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
  if (terms.extensionSec !== undefined) out.int(terms.extensionSec);
}

function readPolicy(from: CborReader): PolicyPayload {
  const items = from.array();
  if (items !== 6 && items !== 12 && items !== 13) from.fail('a policy of a wrong length');
  const durations = readDurations(from);
  if (items === 6) return durations;
  const [waitSec, longestSec, auto, dailyBytes, dailySnapshots] = [
    from.uint(MAX_SECOND),
    from.uint(MAX_SECOND),
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
      expectSec: from.uint(MAX_SECOND),
    });
  }
  const terms = { waitSec, longestSec, autoPrune: auto === 1, dailyBytes, dailySnapshots, classes };
  if (items === 12) return { ...durations, terms };
  const extensionSec = from.uint(MAX_SECOND);
  if (extensionSec === 0) from.fail('an extension of nothing is not written');
  return { ...durations, terms: { ...terms, extensionSec } };
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
    case EntryType.writerCert: {
      const { publicKey, domain, name, sealed } = payload;
      out
        .array(sealed === undefined ? 2 : 4)
        .bytes(publicKey)
        .bytes(domain);
      if (sealed !== undefined) out.text(name ?? '').bytes(sealed);
      return;
    }
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
      out
        .array(payload.signature === undefined ? 2 : 3)
        .int(payload.role)
        .bytes(payload.publicKey);
      if (payload.signature !== undefined) out.bytes(payload.signature);
      return;
    case EntryType.incident:
      out.array(2).text(payload.code).text(payload.detail);
      return;
    case EntryType.tags:
      out.array(2).bytes(payload.domain).bytes(payload.sealed);
      return;
    case EntryType.cert:
      out
        .array(payload.name === undefined ? 2 : 3)
        .int(payload.role)
        .bytes(payload.publicKey);
      if (payload.name !== undefined) out.text(payload.name);
      return;
    case EntryType.acceptFork:
      out.array(2).array(payload.heads.length);
      for (const { author, count, head } of payload.heads) out.array(3).bytes(author).int(count).bytes(head);
      out.text(payload.reason);
      return;
    case EntryType.attest:
      out.array(2).bytes(payload.snapshots).text(payload.statement);
      return;
    case EntryType.check:
      out.array(10).int(payload.level).bytes(payload.first).bytes(payload.last).int(payload.coversSec).bytes(payload.heads);
      out.int(payload.startedSec).int(payload.packs).int(payload.bytes).int(payload.badCount).bytes(payload.bad);
      return;
    case EntryType.drill: {
      const { phase, drill, snapshots, verdict, record } = payload;
      out
        .array(verdict === undefined ? 3 : 5)
        .int(phase)
        .bytes(drill)
        .bytes(snapshots);
      if (verdict !== undefined) out.int(verdict).bytes(record ?? ZEROS);
      return;
    }
    case EntryType.copy:
      out.array(6).int(payload.direction).bytes(payload.other).bytes(payload.snapshots);
      out.bytes(payload.heads).int(payload.bytes).int(payload.level);
      return;
    case EntryType.slots:
      out.array(2).array(payload.added.length);
      for (const { id, label, digest } of payload.added) out.array(3).bytes(id).text(label).bytes(digest);
      out.array(payload.removed.length);
      for (const id of payload.removed) out.bytes(id);
      return;
    case EntryType.retireStream:
      out.array(3).bytes(payload.author).bytes(payload.stream).text(payload.reason);
      return;
  }
}

function readCheck(from: CborReader): Extract<Payload, { readonly bad: Uint8Array }> {
  from.array(10);
  const range = { level: from.uint(3), first: from.bytes(32), last: from.bytes(32) };
  if (Buffer.compare(range.first, range.last) > 0) from.fail('a range of pack ids that ends before it begins');
  const position = { coversSec: from.uint(MAX_SECOND), heads: from.bytes(32), startedSec: from.uint(MAX_SECOND) };
  const counts = { packs: from.uint(), bytes: from.uint(), badCount: from.uint() };
  const bad = readIds(from);
  if (bad.byteLength !== 32 * Math.min(counts.badCount, MAX_BAD_PACKS) || counts.badCount > counts.packs)
    from.fail('a check whose bad packs do not fit their count');
  return { type: EntryType.check, ...range, ...position, ...counts, bad };
}

function readDrill(from: CborReader): Extract<Payload, { readonly drill: Uint8Array }> {
  const items = from.array();
  const phase = from.uint(1);
  if (items !== (phase === 0 ? 3 : 5)) from.fail('a drill entry of a wrong length');
  const about = { type: EntryType.drill, phase, drill: from.bytes(16), snapshots: readIds(from) };
  return phase === 0 ? about : { ...about, verdict: from.uint(2), record: from.bytes(32) };
}

/** No slot twice: the last word on each must be one word. */
function readSlots(from: CborReader): Extract<Payload, { readonly added: readonly SlotRecord[] }> {
  from.array(2);
  const seen = new Set<string>();
  const once = (id: Uint8Array): Uint8Array => {
    const hex = Buffer.from(id).toString('hex');
    if (seen.has(hex)) from.fail('a key slot twice');
    seen.add(hex);
    return id;
  };
  const added: SlotRecord[] = [];
  for (let left = from.array(); left > 0; left--) {
    from.array(3);
    added.push({ id: once(from.bytes(8)), label: from.text(), digest: from.bytes(32) });
  }
  const removed: Uint8Array[] = [];
  for (let left = from.array(); left > 0; left--) removed.push(once(from.bytes(8)));
  return { type: EntryType.slots, added, removed };
}

/** Reads the payload of an entry of `type`. @throws CorruptError */
export function readPayload(from: CborReader, type: number): Payload {
  switch (type) {
    case EntryType.genesis:
      from.array(0);
      return { type };
    case EntryType.writerCert: {
      const items = from.array();
      if (items !== 2 && items !== 4) from.fail('a certificate of a wrong length');
      const key = { type, publicKey: from.bytes(32), domain: from.bytes(16) };
      return items === 2 ? key : { ...key, name: from.text(), sealed: from.bytes() };
    }
    case EntryType.retire:
      from.array(4);
      return { type, ...readHead(from), reason: from.text() };
    case EntryType.policy:
      return { type, ...readPolicy(from) };
    case EntryType.snapshot: {
      const items = from.array();
      if (items !== 5 && items !== 6) from.fail('a snapshot entry of a wrong length');
      const base = { manifest: from.bytes(32), stream: from.bytes(16), state: from.uint(1) };
      const kept = { retainUntilSec: from.uint(MAX_SECOND), slots: from.uint(31) };
      if (items === 5) return { type, ...base, ...kept };
      const name = from.text();
      if (name === '') from.fail('a retention class without a name');
      return { type, ...base, ...kept, class: name };
    }
    case EntryType.extend:
      from.array(3);
      return { type, snapshots: readIds(from), untilSec: from.uint(MAX_SECOND), reason: from.text() };
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
        receipts.push({ ...entry, retainUntilSec: from.uint(MAX_SECOND), slots: from.uint(31) });
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
    case EntryType.keyRotate: {
      const items = from.array();
      if (items !== 2 && items !== 3) from.fail('a rotation of a wrong length');
      const key = { type, role: from.uint(1), publicKey: from.bytes(32) };
      return items === 2 ? key : { ...key, signature: from.bytes(64) };
    }
    case EntryType.incident:
      from.array(2);
      return { type, code: from.text(), detail: from.text() };
    case EntryType.tags:
      from.array(2);
      return { type, domain: from.bytes(16), sealed: from.bytes() };
    case EntryType.cert: {
      const items = from.array();
      if (items !== 2 && items !== 3) from.fail('a certificate of a wrong length');
      const key = { type, role: from.uint(2), publicKey: from.bytes(32) };
      return items === 2 ? key : { ...key, name: from.text() };
    }
    case EntryType.acceptFork: {
      from.array(2);
      const heads: ChainHead[] = [];
      for (let left = from.array(); left > 0; left--) {
        from.array(3);
        heads.push(readHead(from));
      }
      return { type, heads, reason: from.text() };
    }
    case EntryType.attest:
      from.array(2);
      return { type, snapshots: readIds(from), statement: from.text() };
    case EntryType.check:
      return readCheck(from);
    case EntryType.drill:
      return readDrill(from);
    case EntryType.copy: {
      from.array(6);
      const to = { direction: from.uint(1), other: from.bytes(32), snapshots: readIds(from) };
      return { type, ...to, heads: from.bytes(32), bytes: from.uint(), level: from.uint(3) };
    }
    case EntryType.slots:
      return readSlots(from);
    case EntryType.retireStream:
      from.array(3);
      return { type, author: from.bytes(16), stream: from.bytes(16), reason: from.text() };
    default:
      if (type === 0 || from.peek() !== 'array') from.fail('an entry of an impossible type or payload');
      from.skip(1);
      return { type, reserved: true };
  }
}
