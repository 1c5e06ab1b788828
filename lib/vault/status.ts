/**
 * How a repository stands, for `varve status`: what enforces its retention, which vault vouches for it, how old the newest snapshot of each stream is, what is held, and
 * what somebody should look at. From the ledger, and with the reader role from the newest manifest of each stream, for its name; never claims more than it can see.
 */
import { statSync } from 'node:fs';
import { hostname } from 'node:os';
import { toHex } from '../bytes.js';
import { authorOf } from '../crypto/sign.js';
import { payloadOf } from '../format/payload.js';
import { rfc3339 } from '../format/time.js';
import { authoritiesOf, loadLedger } from '../ledger/ledger.js';
import { sharedHosts } from '../ledger/scope.js';
import { type Standing, seriesOf, standings } from '../ledger/standing.js';
import { listStreams } from '../ledger/streams.js';
import type { Repository } from '../repository/repository.js';
import { currentPolicy, termsOf } from '../retention/policy.js';
import { isGuardedStore, type Store } from '../store/store.js';
import type { VaultPlace } from '../store/vault-transport.js';
import { LATE_FACTOR } from './watch.js';

export type Level = 'advisory' | 'guarded' | 'separate';

export interface StreamStatus {
  readonly writer: string;
  readonly writerName: string | null;
  /** With the reader role, as lists show them. */
  readonly host: string | null;
  readonly label: string | null;
  readonly stream: string;
  readonly class: string | null;
  readonly snapshot: string;
  readonly received: string;
  readonly ageSec: number;
  readonly expectSec: number;
  readonly overdue: boolean;
  readonly retainUntil: string;
}

export interface RepositoryStatus {
  readonly level: Level;
  readonly why: string;
  /** Author id and public key, hex, of the vault that the connection leads to. */
  readonly vault: {
    readonly author: string;
    readonly publicKey: string;
    readonly certified: boolean;
    /** Why its key was retired; absent while it is in force. A retired vault gives no receipts. */
    readonly retired?: string;
  } | null;
  /** Vaults whose key was retired, wherever the connection leads; author ids in hex. */
  readonly retiredVaults: readonly { readonly author: string; readonly reason: string }[];
  /** Hosts that more than one writer uses, as far as the keys in hand tell. */
  readonly sharedHosts: readonly { readonly host: string; readonly writers: readonly string[] }[];
  readonly streams: readonly StreamStatus[];
  readonly incidents: readonly {
    readonly time: string;
    readonly author: string;
    readonly code: string;
    readonly detail: string;
  }[];
  readonly holds: readonly { readonly snapshot: string; readonly reason: string; readonly since: string }[];
}

const INCIDENT_SEC = 30 * 86_400;
/** Whoever may write incidents may write many, and long ones. */
const MAX_INCIDENTS = 200;
const INCIDENT_CHARACTERS = 4000;
const HERE = new Set(['localhost', '127.0.0.1', '::1', 'ip6-localhost']);

/** What keeps the repository at `store` from being deleted before its time, and against whom. */
function enforcementOf(store: Store): { level: Level; why: string } {
  const place = (store as Partial<{ place: VaultPlace }>).place;
  if (!isGuardedStore(store) || place === undefined)
    return { level: 'advisory', why: 'a plain directory: holds against mistakes, not against whoever may write to it' };
  if (place.kind === 'socket') {
    try {
      if (statSync(place.path).uid === process.getuid?.())
        return { level: 'advisory', why: 'the vault runs as this very user, who could delete what it keeps' };
    } catch {
      return { level: 'advisory', why: 'the vault’s socket cannot be looked at' };
    }
    return {
      level: 'guarded',
      why: 'a vault of another user on this machine: holds against a compromised user, not against root',
    };
  }
  const host = place.destination.slice(place.destination.lastIndexOf('@') + 1).toLowerCase();
  if (HERE.has(host) || host === hostname().toLowerCase())
    return { level: 'guarded', why: 'a vault over SSH on this very machine: holds against a compromised user, not against root' };
  return { level: 'separate', why: 'a vault over SSH on another machine: holds against root on this one' };
}

/** @throws RolledBackError, CorruptError, BadSignatureError */
export async function repositoryStatus(repository: Repository, nowMs = Date.now()): Promise<RepositoryStatus> {
  const { store } = repository;
  const ledger = await loadLedger(repository);
  const nowSec = nowMs / 1000;
  const { classes } = termsOf(currentPolicy(ledger.entries));
  const all = standings(ledger).filter(({ pruned }) => !pruned);
  const known = await listStreams(repository, ledger);
  const named = new Map(known.map((one) => [seriesOf(one.newest), one]));
  const streamOf = (standing: Standing): StreamStatus => {
    const { id, entry, payload, received, retainUntilSec } = standing;
    const { host, label, writerName } = named.get(seriesOf(standing)) ?? {};
    const { expectSec = 0 } = classes.find(({ name }) => name === payload.class) ?? {};
    const ageSec = Math.max(0, Math.round(nowSec - received.sec));
    return {
      writer: toHex(entry.author),
      writerName: writerName ?? null,
      host: host ?? null,
      label: label ?? null,
      stream: toHex(payload.stream),
      class: payload.class ?? null,
      snapshot: toHex(id),
      received: rfc3339(received),
      ageSec,
      expectSec,
      overdue: expectSec > 0 && ageSec > expectSec * LATE_FACTOR,
      retainUntil: rfc3339({ sec: retainUntilSec, nsec: 0 }),
    };
  };
  const incidents = ledger.entries
    .flatMap(({ author, payload }, at) => {
      const incident = payloadOf(payload, 'incident');
      const time = ledger.times[at]!;
      if (incident === undefined || time.sec < nowSec - INCIDENT_SEC) return [];
      const detail = incident.detail.slice(0, INCIDENT_CHARACTERS);
      return [{ time: rfc3339(time), author: toHex(author), code: incident.code.slice(0, 40), detail }];
    })
    .slice(-MAX_INCIDENTS);
  const key = isGuardedStore(store) ? store.vaultKey : undefined;
  const isVault = ({ role, publicKey }: { role: string; publicKey: Uint8Array }): boolean =>
    role === 'vault' && key !== undefined && toHex(publicKey) === toHex(key);
  const retiredVaults = authoritiesOf(repository.genesis, ledger).flatMap(({ author, roles, limit, retired }) =>
    roles.has('vault') && limit !== Number.POSITIVE_INFINITY ? [{ author: toHex(author), reason: retired?.reason ?? '' }] : [],
  );
  const own = key === undefined ? undefined : retiredVaults.find(({ author }) => author === toHex(authorOf(key)));
  const used = known.flatMap(({ host, author }) => (host === undefined ? [] : [{ host, author }]));
  const inGenesis = repository.genesis.vault !== null && key !== undefined && toHex(repository.genesis.vault) === toHex(key);
  return {
    ...enforcementOf(store),
    vault:
      key === undefined
        ? null
        : {
            author: toHex(authorOf(key)),
            publicKey: toHex(key),
            certified: inGenesis || ledger.chains.some(isVault),
            ...(own === undefined ? {} : { retired: own.reason }),
          },
    retiredVaults,
    sharedHosts: sharedHosts(used, ledger).map(({ host, writers }) => ({ host, writers: writers.map(toHex) })),
    streams: all.filter(({ newest }) => newest).map(streamOf),
    incidents,
    holds: all.flatMap(({ id, holds }) =>
      holds.map(({ reason, time }) => ({ snapshot: toHex(id), reason, since: rfc3339(time) })),
    ),
  };
}
