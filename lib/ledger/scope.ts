/**
 * Whose name a snapshot bears (docs/format.md §11): the hosts and labels that certificates give to its writer. A manifest says any host; one outside its writer's scope is
 * shown under the writer's own name, so that no writer's files are taken for another host's. Reads no store; opens what the keys in hand open.
 */
import { equalBytes, toHex } from '../bytes.js';
import { open, seal } from '../crypto/envelope.js';
import { authorOf } from '../crypto/sign.js';
import { CorruptError, RoleError } from '../errors.js';
import { decodeScope, encodeScope, scopeAad } from '../format/entry.js';
import { payloadOf, type WriterCertPayload, type WriterScope } from '../format/payload.js';
import { matchesPattern } from '../format/wildcard.js';
import type { Repository } from '../repository/repository.js';
import type { Ledger } from './state.js';

/** What deciding takes: the repository's id, and keys of domains. */
export type ScopeKeys = Pick<Repository, 'id' | 'domainKeys'>;

/** Any host and any label. */
export const EVERYTHING: WriterScope = { hosts: ['*'], labels: [] };

/** Under which host a snapshot is shown. */
export interface ShownHost {
  readonly host: string;
  /** Its host or its label is outside its writer's scope. */
  readonly foreign: boolean;
}

/** Seals a writer's scope for whoever holds the secret of its domain. */
export function sealScope({ id, domainKeys }: ScopeKeys, author: Uint8Array, domain: Uint8Array, scope: WriterScope): Uint8Array {
  const aad = scopeAad(id, author, domain);
  const { scope: key } = domainKeys(domain);
  const sealed = seal(key, aad, encodeScope(scope));
  if (open(key, aad, sealed) === undefined) throw new CorruptError('writer-cert', 'does not open again; nothing was written');
  return sealed;
}

const matchesAny = (patterns: readonly string[], text: string): boolean =>
  patterns.some((pattern) => matchesPattern(pattern, text));

/** The certificates of all writers in a ledger. Scopes are opened when they are first asked for. */
export class WriterScopes {
  readonly #keys: ScopeKeys;
  readonly #onDamaged: ((error: CorruptError) => void) | undefined;
  /** By author, hex. */
  readonly #certs = new Map<string, WriterCertPayload[]>();
  readonly #admins = new Set<string>();
  readonly #opened = new Map<WriterCertPayload, WriterScope>();

  /** @param onDamaged - told of each scope that does not open: it lets its writer speak for nobody */
  constructor(
    keys: ScopeKeys,
    { entries, chains }: Pick<Ledger, 'entries' | 'chains'>,
    onDamaged?: (error: CorruptError) => void,
  ) {
    this.#keys = keys;
    this.#onDamaged = onDamaged;
    for (const { author, role } of chains) if (role === 'admin') this.#admins.add(toHex(author));
    for (const { payload } of entries) {
      const cert = payloadOf(payload, 'writerCert');
      if (cert === undefined) continue;
      const hex = toHex(authorOf(cert.publicKey));
      const known = this.#certs.get(hex);
      if (known === undefined) this.#certs.set(hex, [cert]);
      else known.push(cert);
    }
  }

  /** How many certificates there are: another number may mean other names. */
  get size(): number {
    let count = 0;
    for (const certs of this.#certs.values()) count += certs.length;
    return count;
  }

  /** What the last certificate of a writer calls it; undefined for one without a name. */
  nameOf(author: Uint8Array): string | undefined {
    const names = (this.#certs.get(toHex(author)) ?? []).flatMap(({ name = '' }) => (name === '' ? [] : [name]));
    return names.at(-1);
  }

  /** The scopes that a writer's certificates give it in `domain`. @throws RoleError without a key of the domain */
  scopesOf(author: Uint8Array, domain: Uint8Array): WriterScope[] {
    const certs = this.#certs.get(toHex(author)) ?? [];
    return certs.filter((cert) => equalBytes(cert.domain, domain)).map((cert) => this.#scope(author, cert));
  }

  /** Under which host a snapshot by `author` in `domain` is shown. An admin speaks for every host. @throws RoleError without a key of the domain */
  shown(author: Uint8Array, domain: Uint8Array, { host, label }: { readonly host: string; readonly label: string }): ShownHost {
    if (this.#admins.has(toHex(author))) return { host, foreign: false };
    const scopes = this.scopesOf(author, domain);
    const ours = scopes.filter(({ hosts }) => matchesAny(hosts, host));
    if (ours.length > 0) return { host, foreign: !ours.some(({ labels }) => labels.length === 0 || matchesAny(labels, label)) };
    const own = scopes.flatMap(({ hosts }) => hosts).find((pattern) => pattern !== '' && !pattern.includes('*'));
    return { host: own ?? this.nameOf(author) ?? `writer-${toHex(author).slice(0, 8)}`, foreign: true };
  }

  #scope(author: Uint8Array, cert: WriterCertPayload): WriterScope {
    // Certificates from before there were scopes bound no host.
    if (cert.sealed === undefined) return EVERYTHING;
    let scope = this.#opened.get(cert);
    if (scope === undefined) this.#opened.set(cert, (scope = this.#open(author, cert.domain, cert.sealed)));
    return scope;
  }

  #open(author: Uint8Array, domain: Uint8Array, sealed: Uint8Array): WriterScope {
    const object = `the certificate of writer ${toHex(author).slice(0, 8)}`;
    try {
      const plaintext = open(this.#keys.domainKeys(domain).scope, scopeAad(this.#keys.id, author, domain), sealed);
      if (plaintext === undefined) throw new CorruptError(object, 'its hosts and labels do not verify');
      return decodeScope(plaintext, object);
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error;
      this.#onDamaged?.(error);
      return { hosts: [], labels: [] };
    }
  }
}

/**
 * What to say to a writer whose snapshots of `host` and `label` are going to be shown under another name, or apart from those of the host; undefined when all is well.
 */
export function foreignWarning(
  keys: ScopeKeys,
  ledger: Ledger,
  author: Uint8Array,
  domain: Uint8Array,
  named: { readonly host: string; readonly label: string },
): string | undefined {
  try {
    const { host, foreign } = new WriterScopes(keys, ledger).shown(author, domain, named);
    if (!foreign) return undefined;
    const how = 'an admin certifies a writer for other hosts with: varve key export FILE --role writer --name NAME --host HOST';
    return host === named.host
      ? `this key's writer is not certified for the label ${named.label}; the snapshot is marked foreign. To change that, ${how}`
      : `this key's writer is not certified for host ${named.host}; its snapshots are shown under ${host}. Back up with --host ${host}, or ${how}`;
  } catch (error) {
    if (error instanceof RoleError) return undefined;
    throw error;
  }
}

/** Hosts that more than one writer uses whose key is still in force. */
export function sharedHosts<W extends { readonly host: string; readonly author: Uint8Array }>(
  used: Iterable<W>,
  ledger: Pick<Ledger, 'chains'>,
): { readonly host: string; readonly writers: readonly Uint8Array[] }[] {
  const ended = new Set(
    ledger.chains.flatMap(({ author, limit }) => (limit === Number.POSITIVE_INFINITY ? [] : [toHex(author)])),
  );
  const byHost = new Map<string, Map<string, Uint8Array>>();
  for (const { host, author } of used) {
    const hex = toHex(author);
    if (ended.has(hex)) continue;
    const writers = byHost.get(host);
    if (writers === undefined) byHost.set(host, new Map([[hex, author]]));
    else writers.set(hex, author);
  }
  return [...byHost].flatMap(([host, writers]) => (writers.size < 2 ? [] : [{ host, writers: [...writers.values()] }]));
}
