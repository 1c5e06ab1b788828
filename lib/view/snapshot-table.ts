/**
 * Which snapshots a mount shows and what they are called: the ledger's snapshots in order, names, `latest`, by host, by tag, by time. Manifests are opened when
 * they are needed; one that is damaged stays in the table and throws when it is. Groups and filters, which cannot know where it belongs, leave it out and say so.
 */
import { equalBytes, toHex } from '../bytes.js';
import { CorruptError, NewerFormatError, NotFoundError } from '../errors.js';
import { State } from '../format/manifest.js';
import type { Timestamp } from '../format/time.js';
import type { DirectoryEntry } from '../format/tree.js';
import {
  matchesFilter,
  matchesRecord,
  type SnapshotFilter,
  type SnapshotRecord,
  snapshotRecords,
  type TagChanges,
  tagChanges,
} from '../ledger/snapshots.js';
import { seriesOf } from '../ledger/standing.js';
import type { Repository } from '../repository/repository.js';
import type { LedgerFollower } from './ledger-follower.js';
import type { Manifests, OpenManifest } from './manifests.js';
import { fileNameOf, snapshotNames } from './snapshot-names.js';

/** How many hex digits name a snapshot in by-id/. */
const SHORT_ID_DIGITS = 16;

export interface ShownSnapshot {
  readonly record: SnapshotRecord;
  /** 64 hex digits. */
  readonly hex: string;
  /** In snapshots/. */
  readonly name: string;
  readonly time: Timestamp;
  readonly complete: boolean;
}

/** What is kept of an opened manifest. */
export interface SnapshotSummary {
  readonly host: string;
  readonly label: string;
  readonly tags: readonly string[];
  readonly root: DirectoryEntry;
  readonly domain: Uint8Array;
}

export interface SnapshotGroup {
  /** The host or tag itself. */
  readonly text: string;
  /** In order. */
  readonly snapshots: readonly ShownSnapshot[];
}

export class SnapshotTable {
  readonly #repository: Pick<Repository, 'domainKeys'>;
  readonly #follower: LedgerFollower;
  readonly #manifests: Manifests;
  readonly #filter: SnapshotFilter | undefined;
  readonly #summaries = new Map<string, SnapshotSummary>();
  readonly #matches = new Map<string, boolean>();
  #tagChanges: TagChanges | undefined;
  #all: ShownSnapshot[] = [];
  #shown: ShownSnapshot[] | undefined;
  #byName = new Map<string, ShownSnapshot>();
  #byHex = new Map<string, ShownSnapshot>();
  #certificates = 0;
  #hosts: Map<string, SnapshotGroup> | undefined;
  #tags: Map<string, SnapshotGroup> | undefined;
  /** Those whose being left out was told, hex. */
  readonly #told = new Set<string>();
  #notices: string[] = [];

  constructor(
    repository: Pick<Repository, 'domainKeys'>,
    follower: LedgerFollower,
    manifests: Manifests,
    filter: SnapshotFilter | undefined,
  ) {
    this.#repository = repository;
    this.#follower = follower;
    this.#manifests = manifests;
    this.#filter = filter;
    this.#rebuild();
  }

  /** Takes up new ledger entries. @throws what the follower throws; the table is good nevertheless */
  refresh(): void {
    const before = this.#follower.ledger;
    try {
      this.#follower.poll();
    } finally {
      if (this.#follower.ledger !== before) this.#rebuild();
    }
  }

  /** Ledger entries taken up so far. */
  get entryCount(): number {
    return this.#follower.ledger.entries.length;
  }

  /** Shown snapshots in order. */
  shown(): readonly ShownSnapshot[] {
    this.#shown ??= this.#filter === undefined ? this.#all : this.#all.filter((snapshot) => this.#isShown(snapshot));
    return this.#shown;
  }

  named(name: string): ShownSnapshot | undefined {
    const found = this.#byName.get(name);
    return found !== undefined && this.#isShown(found) ? found : undefined;
  }

  withHex(hex: string): ShownSnapshot | undefined {
    return this.#byHex.get(hex);
  }

  /** Snapshots of the same stream before this one, the nearest first, whatever the filter shows. */
  *earlierOf({ hex, record }: ShownSnapshot): Generator<ShownSnapshot> {
    for (let i = this.#all.findIndex((other) => other.hex === hex) - 1; i >= 0; i--)
      if (equalBytes(this.#all[i]!.record.payload.stream, record.payload.stream)) yield this.#all[i]!;
  }

  /** The one shown snapshot whose id begins with `prefix` of at least four digits. */
  withPrefix(prefix: string): ShownSnapshot | undefined {
    if (!/^[0-9a-f]{4,64}$/.test(prefix)) return undefined;
    const found = this.shown().filter(({ hex }) => hex.startsWith(prefix));
    return found.length === 1 ? found[0] : undefined;
  }

  /** The newest complete one of `snapshots`, received at or before `lastNs` if given. */
  latest(snapshots: readonly ShownSnapshot[] = this.shown(), lastNs?: bigint): ShownSnapshot | undefined {
    for (let i = snapshots.length - 1; i >= 0; i--) {
      const { complete, time } = snapshots[i]!;
      if (complete && (lastNs === undefined || BigInt(time.sec) * 1_000_000_000n + BigInt(time.nsec) <= lastNs))
        return snapshots[i];
    }
    return undefined;
  }

  /** File name in hosts/ → the host's snapshots. One manifest of each writer's stream is opened; a stream of which none opens is left out. */
  hosts(): ReadonlyMap<string, SnapshotGroup> {
    if (this.#hosts !== undefined) return this.#hosts;
    const hostOfStream = new Map<string, string>();
    for (const snapshot of [...this.shown()].reverse()) {
      // Two writers of one domain may name the same stream, and not both may speak for its host.
      const stream = seriesOf(snapshot.record);
      const host = hostOfStream.has(stream) ? undefined : this.#summaryIfSound(snapshot)?.host;
      if (host !== undefined) hostOfStream.set(stream, host);
    }
    return (this.#hosts = group(this.shown(), ({ record }) => {
      const host = hostOfStream.get(seriesOf(record));
      return host === undefined ? [] : [host];
    }));
  }

  /** File name in tags/ → the snapshots with that tag. Opens every manifest; those that do not open are left out. */
  tags(): ReadonlyMap<string, SnapshotGroup> {
    this.#tags ??= group(this.shown(), (snapshot) => {
      const summary = this.#summaryIfSound(snapshot);
      return summary === undefined ? [] : this.tagsOf(snapshot, summary);
    });
    return this.#tags;
  }

  tagsOf(snapshot: ShownSnapshot, summary: SnapshotSummary): string[] {
    this.#tagChanges ??= tagChanges(this.#repository as Repository, this.#follower.ledger);
    return this.#tagChanges.apply(snapshot.record.id, summary.domain, summary.tags);
  }

  /** @throws CorruptError, NotFoundError, StoreError that names the manifest */
  summary(snapshot: ShownSnapshot): SnapshotSummary {
    let summary = this.#summaries.get(snapshot.hex);
    if (summary === undefined) {
      const { body, envelope } = this.manifest(snapshot);
      const { host, label, tags, root } = body;
      summary = { host, label, tags, root, domain: envelope.domain };
      this.#summaries.set(snapshot.hex, summary);
    }
    return summary;
  }

  manifest(snapshot: ShownSnapshot): OpenManifest {
    return this.#manifests.open(snapshot.record);
  }

  /** A line for each snapshot that was left out of something since the last call; each is told once. */
  takeNotices(): readonly string[] {
    if (this.#notices.length === 0) return this.#notices;
    const notices = this.#notices;
    this.#notices = [];
    return notices;
  }

  shortId(snapshot: ShownSnapshot): string {
    return snapshot.hex.slice(0, SHORT_ID_DIGITS);
  }

  #summaryIfSound(snapshot: ShownSnapshot): SnapshotSummary | undefined {
    try {
      return this.summary(snapshot);
    } catch (error) {
      if (!(error instanceof CorruptError || error instanceof NotFoundError || error instanceof NewerFormatError)) throw error;
      if (!this.#told.has(snapshot.hex)) {
        this.#told.add(snapshot.hex);
        this.#notices.push(
          `snapshot ${snapshot.name} does not open, so hosts/, tags/ and filters may leave it out: ${error.message}. To know more: varve check`,
        );
      }
      return undefined;
    }
  }

  #isShown(snapshot: ShownSnapshot): boolean {
    if (this.#filter === undefined) return true;
    let matches = this.#matches.get(snapshot.hex);
    if (matches === undefined) {
      const summary = matchesRecord(snapshot.record, this.#filter) ? this.#summaryIfSound(snapshot) : undefined;
      matches =
        summary !== undefined &&
        matchesFilter(
          { ...snapshot.record, ...this.manifest(snapshot), tags: this.tagsOf(snapshot, summary), time: snapshot.time },
          this.#filter,
        );
      this.#matches.set(snapshot.hex, matches);
    }
    return matches;
  }

  #rebuild(): void {
    const records = snapshotRecords(this.#follower.ledger).map((record) => ({
      record,
      hex: toHex(record.id),
      time: record.received,
      complete: record.payload.state === State.complete,
    }));
    const names = snapshotNames(records);
    this.#all = records.map((record, i) => ({ ...record, name: names[i]! }));
    this.#byName = new Map(this.#all.map((snapshot) => [snapshot.name, snapshot]));
    this.#byHex = new Map(this.#all.map((snapshot) => [snapshot.hex, snapshot]));
    this.#shown = undefined;
    this.#hosts = undefined;
    this.#tags = undefined;
    this.#tagChanges = undefined;
    // A new certificate may change the host of snapshots that were opened before.
    const { size } = this.#manifests.scopes;
    if (size !== this.#certificates) this.#summaries.clear();
    this.#certificates = size;
    // A tag entry may change what a filter lets through.
    this.#matches.clear();
  }
}

function group(
  snapshots: readonly ShownSnapshot[],
  textsOf: (snapshot: ShownSnapshot) => readonly string[],
): Map<string, SnapshotGroup> {
  const groups = new Map<string, { text: string; snapshots: ShownSnapshot[] }>();
  for (const snapshot of snapshots) {
    for (const text of textsOf(snapshot)) {
      const name = fileNameOf(text);
      const known = groups.get(name);
      if (known === undefined) groups.set(name, { text, snapshots: [snapshot] });
      else known.snapshots.push(snapshot);
    }
  }
  return new Map([...groups].sort(([a], [b]) => (a < b ? -1 : 1)));
}
