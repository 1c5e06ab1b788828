/** Requests as they come over HTTP/2: headers to a verb, a kind and ids, strictly; anything else is refused before the guard hears of it. Pure. */
import type { IncomingHttpHeaders } from 'node:http2';
import { VarveError } from '../errors.js';
import { Header, ID_BYTES, MAX_BYTES, type ObjectKind, type ObjectRef, Verb } from '../store/vault-protocol.js';

export type Request =
  | { readonly verb: typeof Verb.hello | typeof Verb.heads }
  | { readonly verb: typeof Verb.stat | typeof Verb.remove; readonly ref: ObjectRef }
  | { readonly verb: typeof Verb.get; readonly ref: ObjectRef; readonly range: { offset: number; length: number } | undefined }
  | { readonly verb: typeof Verb.list; readonly kind: ObjectKind; readonly from: number; readonly author: string | undefined }
  | { readonly verb: typeof Verb.entries; readonly author: string; readonly sequence: number }
  | { readonly verb: typeof Verb.put | typeof Verb.replaceDamaged; readonly ref: ObjectRef; readonly sizeBytes: number }
  | { readonly verb: typeof Verb.prune; readonly step: 'plan' | 'announce' | 'sweep' };

const VERBS = new Set<string>(Object.values(Verb));
const STEPS = ['plan', 'announce', 'sweep'] as const;

/** What each verb may carry besides HTTP's own headers. */
const ALLOWED: Readonly<Record<Verb, readonly string[]>> = {
  [Verb.hello]: [Header.protocol],
  [Verb.heads]: [],
  [Verb.stat]: [Header.kind, Header.id, Header.author, Header.sequence],
  [Verb.remove]: [Header.kind, Header.id, Header.author, Header.sequence],
  [Verb.get]: [Header.kind, Header.id, Header.author, Header.sequence, Header.offset, Header.length],
  [Verb.list]: [Header.kind, Header.from, Header.author],
  [Verb.entries]: [Header.kind, Header.author, Header.sequence],
  [Verb.put]: [Header.kind, Header.id, Header.author, Header.sequence, Header.size],
  [Verb.replaceDamaged]: [Header.kind, Header.id, Header.size],
  [Verb.prune]: [Header.step],
};

function bad(why: string): never {
  throw new VarveError('REFUSED', `not a request of this protocol: ${why}`);
}

/** @throws VarveError with code REFUSED */
export function parseRequest(headers: IncomingHttpHeaders): Request {
  const verb = headers[':path'] as Verb | undefined;
  if (headers[':method'] !== 'POST' || verb === undefined || !VERBS.has(verb)) bad('unknown verb');
  for (const name of Object.keys(headers))
    if (name.startsWith('varve-') && !ALLOWED[verb].includes(name)) bad(`${name.slice(0, 40)} does not belong to this verb`);
  switch (verb) {
    case Verb.hello:
      if (headers[Header.protocol] !== '1') bad('another version of it; use the same version of varve on both sides');
      return { verb };
    case Verb.heads:
      return { verb };
    case Verb.stat:
    case Verb.remove:
      return { verb, ref: refOf(headers) };
    case Verb.get: {
      const ranged = headers[Header.offset] !== undefined || headers[Header.length] !== undefined;
      const range = ranged ? { offset: int(headers, Header.offset), length: int(headers, Header.length) } : undefined;
      return { verb, ref: refOf(headers), range };
    }
    case Verb.list: {
      const kind = kindOf(headers);
      const author = headers[Header.author] === undefined ? undefined : hex(headers, Header.author, ID_BYTES.entry);
      if (author !== undefined && kind !== 'entry') bad('only entries have authors');
      return { verb, kind, from: int(headers, Header.from), author };
    }
    case Verb.entries:
      return { verb, author: hex(headers, Header.author, ID_BYTES.entry), sequence: int(headers, Header.sequence) };
    case Verb.put:
    case Verb.replaceDamaged: {
      const ref = refOf(headers);
      const sizeBytes = int(headers, Header.size);
      if (sizeBytes > MAX_BYTES[ref.kind]) bad('larger than such an object may be');
      return { verb, ref, sizeBytes };
    }
    case Verb.prune: {
      const step = STEPS.find((name) => name === headers[Header.step]);
      return step === undefined ? bad('unknown step') : { verb, step };
    }
  }
}

function kindOf(headers: IncomingHttpHeaders): ObjectKind {
  const kind = headers[Header.kind];
  return typeof kind === 'string' && Object.hasOwn(ID_BYTES, kind) ? (kind as ObjectKind) : bad('unknown kind');
}

function refOf(headers: IncomingHttpHeaders): ObjectRef {
  const kind = kindOf(headers);
  if (kind === 'entry') {
    if (headers[Header.id] !== undefined) bad('an entry has no id');
    return { kind, id: hex(headers, Header.author, ID_BYTES.entry), sequence: int(headers, Header.sequence) };
  }
  if (headers[Header.author] !== undefined || headers[Header.sequence] !== undefined) bad('only entries have authors');
  if (kind === 'genesis' && headers[Header.id] !== undefined) bad('a genesis has no id');
  return { kind, id: kind === 'genesis' ? '' : hex(headers, Header.id, ID_BYTES[kind]), sequence: 0 };
}

function hex(headers: IncomingHttpHeaders, name: string, bytes: number): string {
  const value = headers[name];
  if (typeof value !== 'string' || value.length !== bytes * 2 || !/^[0-9a-f]+$/.test(value)) bad(`${name} is not an id`);
  return value as string;
}

function int(headers: IncomingHttpHeaders, name: string): number {
  const value = headers[name];
  if (typeof value !== 'string' || !/^(?:0|[1-9][0-9]{0,15})$/.test(value) || !Number.isSafeInteger(Number(value)))
    bad(`${name} is not a number`);
  return Number(value);
}
