/**
 * Snapshots as people see them: ledger entries joined with their manifests, in order, with tags applied; and how a name finds one.
 */
import { equalBytes, toHex } from '../bytes.js';
import { open } from '../crypto/envelope.js';
import { sha256 } from '../crypto/kdf.js';
import { manifestKey } from '../crypto/session.js';
import { CorruptError, NotFoundError } from '../errors.js';
import { decodeTagChange, tagsAad } from '../format/entry.js';
import {
  decodeEnvelope,
  decodeManifestBody,
  type Envelope,
  MAX_TAGS,
  type ManifestBody,
  manifestAad,
  State,
  sortedTags,
} from '../format/manifest.js';
import { manifestName } from '../format/names.js';
import { EntryType } from '../format/payload.js';
import { msOfTime, type Timestamp } from '../format/time.js';
import type { Repository } from '../repository/repository.js';
import { certifiedDomains } from './authority.js';
import type { Ledger } from './ledger.js';
import { WriterScopes } from './scope.js';
import { type Standing, standings } from './standing.js';

/** A committed snapshot, from the ledger alone: needs no content key. */
export type SnapshotRecord = Standing;

/** A snapshot with its manifest opened. */
export interface Snapshot extends SnapshotRecord {
  readonly envelope: Envelope;
  /** As its writer stored it, but under a host that its writer may speak for. */
  readonly body: ManifestBody;
  /** The host that the manifest says. */
  readonly claimedHost: string;
  /** Host or label are outside the scope of its writer's certificates. */
  readonly foreign: boolean;
  /** What its writer's certificate calls the writer. */
  readonly writerName?: string;
  /** The manifest's tags with later tag entries applied, in the order of their UTF-8 bytes. */
  readonly tags: readonly string[];
  /** When it was received: the vault's time where there is one, else its entry's. */
  readonly time: Timestamp;
}

/** Every committed snapshot that was not pruned, in order. */
export function snapshotRecords(ledger: Ledger): SnapshotRecord[] {
  return standings(ledger).filter(({ pruned }) => !pruned);
}

/** Whether a manifest, by what it says in clear, is the one that an entry means. */
export function fitsManifest(
  { entry, payload }: Pick<SnapshotRecord, 'entry' | 'payload'>,
  { writer, stream, state }: Pick<Envelope, 'writer' | 'stream' | 'state'>,
): boolean {
  return equalBytes(writer, entry.author) && equalBytes(stream, payload.stream) && state === payload.state;
}

/** Reads a manifest and checks its name. @throws CorruptError, NotFoundError */
export async function readEnvelope(
  repository: Pick<Repository, 'store' | 'id'>,
  id: Uint8Array,
): Promise<{ envelope: Envelope; headDigest: Uint8Array; sealed: Uint8Array }> {
  const name = manifestName(id);
  const bytes = await repository.store.get(name);
  if (!equalBytes(sha256(bytes), id)) throw new CorruptError(name, 'its bytes do not fit its name');
  const { envelope, head, sealed } = decodeEnvelope(bytes, name);
  if (!equalBytes(envelope.repository, repository.id)) throw new CorruptError(name, 'belongs to another repository');
  return { envelope, headDigest: sha256(head), sealed };
}

/** Opens a snapshot's manifest with the reader's key. @throws CorruptError, NotFoundError, RoleError */
export async function openSnapshot(repository: Repository, record: SnapshotRecord, tagChanges: TagChanges): Promise<Snapshot> {
  const name = manifestName(record.id);
  const { envelope, headDigest, sealed } = await readEnvelope(repository, record.id);
  if (!fitsManifest(record, envelope)) throw new CorruptError(name, 'is not what its ledger entry says');
  const key = repository.sessionKey(envelope, envelope);
  const plaintext = open(manifestKey(key, envelope.session), manifestAad(headDigest), sealed);
  if (plaintext === undefined) throw new CorruptError(name, 'its body does not verify');
  const claimed = decodeManifestBody(plaintext, name);
  return {
    ...record,
    envelope,
    ...shownBody(tagChanges.scopes, envelope, claimed),
    tags: tagChanges.apply(record.id, envelope.domain, claimed.tags),
    time: record.received,
  };
}

/** A manifest's body under the host that its writer may speak for. */
export function shownBody(
  scopes: WriterScopes,
  { writer, domain }: Pick<Envelope, 'writer' | 'domain'>,
  claimed: ManifestBody,
): Pick<Snapshot, 'body' | 'claimedHost' | 'foreign' | 'writerName'> {
  const { host, foreign } = scopes.shown(writer, domain, claimed);
  const writerName = scopes.nameOf(writer);
  const body = host === claimed.host ? claimed : { ...claimed, host };
  return { body, claimedHost: claimed.host, foreign, ...(writerName === undefined ? {} : { writerName }) };
}

/** What the ledger says about snapshots besides their manifests: changes of tags, and for which hosts their writers are certified. */
export interface TagChanges {
  readonly scopes: WriterScopes;
  /** The tags of snapshot `id`, which is of `domain`, after all changes. */
  apply(id: Uint8Array, domain: Uint8Array, tags: readonly string[]): string[];
}

/**
 * Collects the tag entries that the keys in hand open. One that does not verify changes nothing: a writer whose key was stolen must not hide the snapshots of
 * all others behind one bad entry. Nor does one change anything in a domain that its author was not certified for, or in any but its own.
 *
 * @param onDamaged - told of each that does not verify, and of each writer's scope that does not
 */
export function tagChanges(repository: Repository, ledger: Ledger, onDamaged?: (error: CorruptError) => void): TagChanges {
  const changes = new Map<string, { added: readonly string[]; removed: readonly string[] }[]>();
  const admins = new Set(ledger.chains.filter(({ role }) => role === 'admin').map(({ author }) => toHex(author)));
  const certified = certifiedDomains(ledger.entries);
  for (const entry of ledger.entries) {
    const { payload } = entry;
    if (payload.type !== EntryType.tags || !('sealed' in payload)) continue;
    const author = toHex(entry.author);
    const domain = toHex(payload.domain);
    try {
      if (!admins.has(author) && certified.get(author)?.has(domain) !== true)
        throw new CorruptError(
          `ledger/${author}`,
          `tag entry ${entry.sequence} is of a domain that no certificate gives to its writer`,
        );
      const plaintext = open(
        repository.domainKeys(payload.domain).tags,
        tagsAad(entry.repository, entry.author, entry.sequence),
        payload.sealed,
      );
      if (plaintext === undefined) throw new CorruptError(`ledger/${author}`, `tag entry ${entry.sequence} does not verify`);
      const change = decodeTagChange(plaintext, `ledger/${author}`);
      for (const id of change.snapshots) {
        const key = `${domain}/${toHex(id)}`;
        const known = changes.get(key);
        if (known === undefined) changes.set(key, [change]);
        else known.push(change);
      }
    } catch (error) {
      if (!(error instanceof CorruptError)) throw error;
      onDamaged?.(error);
    }
  }
  return {
    scopes: new WriterScopes(repository, ledger, onDamaged),
    apply(id, domain, tags) {
      const set = new Set(tags);
      for (const change of changes.get(`${toHex(domain)}/${toHex(id)}`) ?? []) {
        for (const tag of change.removed) set.delete(tag);
        for (const tag of change.added) if (set.size < MAX_TAGS) set.add(tag);
      }
      return sortedTags(set);
    },
  };
}

export interface SnapshotFilter {
  readonly hosts?: readonly string[];
  /** Each item: all of these tags. Any item suffices. */
  readonly tags?: readonly (readonly string[])[];
  /** All of these sources. */
  readonly paths?: readonly string[];
  readonly sinceMs?: number;
  readonly untilMs?: number;
  readonly state?: 'complete' | 'partial';
}

/** Whether `filter` asks nothing. */
export function letsAllPass(filter: SnapshotFilter): boolean {
  return Object.values(filter).every((value) => value === undefined || (Array.isArray(value) && value.length === 0));
}

/** Whether `filter` may let a snapshot pass, as far as the ledger tells: by time and state. */
export function matchesRecord(
  { received, payload }: Pick<SnapshotRecord, 'received' | 'payload'>,
  filter: SnapshotFilter,
): boolean {
  const { sinceMs, untilMs, state } = filter;
  const ms = msOfTime(received);
  if (sinceMs !== undefined && ms < sinceMs) return false;
  if (untilMs !== undefined && ms > untilMs) return false;
  return state === undefined || (payload.state === State.complete) === (state === 'complete');
}

export function matchesFilter(snapshot: Snapshot, filter: SnapshotFilter): boolean {
  const { hosts, tags, paths } = filter;
  if (!matchesRecord(snapshot, filter)) return false;
  if (hosts !== undefined && hosts.length > 0 && !hosts.includes(snapshot.body.host)) return false;
  if (tags !== undefined && tags.length > 0 && !tags.some((all) => all.every((tag) => snapshot.tags.includes(tag)))) return false;
  if (
    paths !== undefined &&
    !paths.every((path) => snapshot.body.paths.some((have) => Buffer.from(have).equals(Buffer.from(path))))
  )
    return false;
  return true;
}

/** A day, or a time of it with or without seconds, a fraction of them, and a zone. */
const TIME = /^@\d{4}-\d{2}-\d{2}(?:[T ](\d{2}:\d{2})(:\d{2}(\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/i;

/**
 * What `latest`, `latest~N` and `@TIME` say: the snapshot `back` places before the last complete one that was received until `untilMs`. Undefined for other names.
 *
 * @throws NotFoundError for a time that is none
 */
export function relativeName(name: string): { readonly back: number; readonly untilMs: number } | undefined {
  const latest = /^latest(?:~(\d+))?$/.exec(name);
  if (latest !== null) return { back: Number(latest[1] ?? 0), untilMs: Number.POSITIVE_INFINITY };
  if (!name.startsWith('@')) return undefined;
  const written = TIME.exec(name);
  const [, minute, second, fraction] = written ?? [];
  // A day means all of it, as in the mount's at/, and so does a second: lists show no fractions.
  const lengthMs = minute === undefined ? 86_400_000 : second === undefined ? 60_000 : fraction === undefined ? 1000 : 1;
  const untilMs = written === null ? Number.NaN : Date.parse(name.slice(1)) + lengthMs - 1;
  if (Number.isNaN(untilMs)) throw new NotFoundError('snapshot', name, `${name}: not a time; write it as @2026-03-01T00:00Z`);
  return { back: 0, untilMs };
}

/**
 * Finds the snapshot a person names among `snapshots` (in order): a hex prefix of at least four digits, `latest`, `latest~N`, or `@TIME` (the newest
 * complete one at or before it).
 *
 * @throws NotFoundError, with what would have matched when a prefix is ambiguous
 */
export function findSnapshot<S extends Pick<Snapshot, 'id' | 'payload' | 'time'>>(snapshots: readonly S[], name: string): S {
  const relative = relativeName(name);
  if (relative !== undefined) {
    const { back, untilMs } = relative;
    const complete = snapshots.filter(({ payload, time }) => payload.state === State.complete && msOfTime(time) <= untilMs);
    const found = complete[complete.length - 1 - back];
    if (found !== undefined) return found;
    throw new NotFoundError(
      'snapshot',
      name,
      name.startsWith('@')
        ? `no complete snapshot at or before ${name.slice(1)}`
        : `no snapshot ${name}: there are ${complete.length} complete snapshots that match`,
    );
  }
  if (!/^[0-9a-f]{4,64}$/.test(name))
    throw new NotFoundError(
      'snapshot',
      name,
      `${name}: not a snapshot; give at least 4 digits of an id, latest, latest~N or @TIME`,
    );
  const matching = snapshots.filter(({ id }) => toHex(id).startsWith(name));
  if (matching.length > 1)
    throw new NotFoundError(
      'snapshot',
      name,
      `${name} is ambiguous: ${matching.map(({ id }) => toHex(id).slice(0, 16)).join(', ')}`,
    );
  if (matching.length === 0) throw new NotFoundError('snapshot', name);
  return matching[0]!;
}
