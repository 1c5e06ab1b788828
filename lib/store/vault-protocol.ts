/**
 * What a vault and its clients say to each other over HTTP/2: verbs, headers, limits, and how an object is named in a request. A request names a verb, a kind and
 * ids; there is no path, prefix or pattern in it, so there is nothing to escape from. Pure; both sides import it.
 */
import { viewOf } from '../bytes.js';
import { VarveError } from '../errors.js';

export const PROTOCOL = 1;

export const Verb = {
  hello: '/hello',
  stat: '/stat',
  get: '/get',
  list: '/list',
  entries: '/entries',
  heads: '/heads',
  put: '/put',
  replaceDamaged: '/replace-damaged',
  remove: '/remove',
  prune: '/prune',
} as const;
export type Verb = (typeof Verb)[keyof typeof Verb];

/** Request headers besides `:method` (POST) and `:path` (the verb). */
export const Header = {
  protocol: 'varve-protocol',
  kind: 'varve-kind',
  id: 'varve-id',
  author: 'varve-author',
  sequence: 'varve-sequence',
  offset: 'varve-offset',
  length: 'varve-length',
  size: 'varve-size',
  from: 'varve-from',
  step: 'varve-step',
} as const;

export const VAULT_ROLES = ['writer', 'reader', 'admin'] as const;
export type VaultRole = (typeof VAULT_ROLES)[number];

/** Bytes of an id of each kind; 0: the kind has one object. */
export const ID_BYTES = { genesis: 0, slot: 8, pack: 32, index: 32, manifest: 32, entry: 16 } as const;
export type ObjectKind = keyof typeof ID_BYTES;

/** The largest object of each kind. */
export const MAX_BYTES: Readonly<Record<ObjectKind, number>> = {
  genesis: 65_536,
  slot: 65_536,
  pack: 67_108_864,
  index: 67_108_864,
  manifest: 67_108_864,
  entry: 1_048_576,
};

/** What a vault takes of an entry that is a writer's: tags and incidents are read again by everybody, for ever. */
export const MAX_WRITER_ENTRY_BYTES = 64 << 10;

/** Rows of a page of a listing. */
const PAGE_ROWS = 4096;
/** Bytes of entries in one answer to `entries`, about. */
export const ENTRIES_BYTES = 1 << 20;
/** How much of a stream, and of a connection, may be under way without being read. */
export const WINDOW_BYTES = 4 << 20;
export const MAX_SESSION_MEMORY_MIB = 200;

/** One object, as requests name it. */
export interface ObjectRef {
  readonly kind: ObjectKind;
  /** Hex; empty for the genesis. Of an entry, its author. */
  readonly id: string;
  /** Of an entry only, else 0. */
  readonly sequence: number;
}

const NAMES: readonly (readonly [ObjectKind, RegExp])[] = [
  ['genesis', /^genesis()$/],
  ['slot', /^keys\/([0-9a-f]{16})$/],
  ['pack', /^packs\/[0-9a-f]{2}\/([0-9a-f]{64})$/],
  ['index', /^index\/([0-9a-f]{64})$/],
  ['manifest', /^snapshots\/([0-9a-f]{64})$/],
  ['entry', /^ledger\/([0-9a-f]{32})\/([0-9]{16})$/],
];

/** The object that a store calls `name`; undefined for a name that no object of a repository has. */
export function refOfName(name: string): ObjectRef | undefined {
  for (const [kind, pattern] of NAMES) {
    const match = pattern.exec(name);
    if (match === null) continue;
    const id = match[1]!;
    if (kind === 'pack' && name.slice(6, 8) !== id.slice(0, 2)) return undefined;
    const sequence = kind === 'entry' ? Number(match[2]) : 0;
    return Number.isSafeInteger(sequence) ? { kind, id, sequence } : undefined;
  }
  return undefined;
}

/** The name in a store of what a request names. */
export function nameOfRef({ kind, id, sequence }: ObjectRef): string {
  switch (kind) {
    case 'genesis':
      return 'genesis';
    case 'slot':
      return `keys/${id}`;
    case 'pack':
      return `packs/${id.slice(0, 2)}/${id}`;
    case 'index':
      return `index/${id}`;
    case 'manifest':
      return `snapshots/${id}`;
    case 'entry':
      return `ledger/${id}/${String(sequence).padStart(16, '0')}`;
  }
}

/** Kinds whose objects are named by the SHA-256 of their bytes. */
export type ContentKind = 'pack' | 'index' | 'manifest';

export function isContentKind(kind: ObjectKind): kind is ContentKind {
  return kind === 'pack' || kind === 'index' || kind === 'manifest';
}

/** SHA-256, hex, of the bytes that an object called `name` must have; undefined where a name says nothing of its bytes. */
export function digestOfName(name: string): string | undefined {
  const ref = refOfName(name);
  return ref !== undefined && isContentKind(ref.kind) ? ref.id : undefined;
}

/** The kinds whose names may begin with `prefix`, for listing. */
export function kindsOfPrefix(prefix: string): ObjectKind[] {
  const folders: Readonly<Record<ObjectKind, string>> = {
    genesis: 'genesis',
    slot: 'keys/',
    pack: 'packs/',
    index: 'index/',
    manifest: 'snapshots/',
    entry: 'ledger/',
  };
  return (Object.keys(folders) as ObjectKind[]).filter(
    (kind) => folders[kind].startsWith(prefix) || prefix.startsWith(folders[kind]),
  );
}

/** A row of a listing: id (of entries, author ‖ u64 sequence), u64 size, u64 when it was stored (milliseconds since 1970; 0: not known). */
export function rowBytes(kind: ObjectKind): number {
  return ID_BYTES[kind] + (kind === 'entry' ? 8 : 0) + 16;
}

/** The largest page of a listing. */
export function pageBytes(kind: ObjectKind): number {
  return PAGE_ROWS * rowBytes(kind);
}

export interface Row {
  readonly ref: ObjectRef;
  readonly sizeBytes: number;
  readonly storedMs: number;
}

/** Rows of a page. @throws VarveError */
export function decodeRows(kind: ObjectKind, page: Uint8Array): Row[] {
  const width = rowBytes(kind);
  if (page.byteLength % width !== 0) throw new VarveError('STORE', 'the vault answered with a listing of an impossible length');
  const view = viewOf(page);
  const rows: Row[] = [];
  for (let at = 0; at < page.byteLength; at += width) {
    const id = Buffer.from(page.buffer, page.byteOffset + at, ID_BYTES[kind]).toString('hex');
    const sequence = kind === 'entry' ? getUint64(view, at + ID_BYTES.entry) : 0;
    const end = at + width;
    rows.push({ ref: { kind, id, sequence }, sizeBytes: getUint64(view, end - 16), storedMs: getUint64(view, end - 8) });
  }
  return rows;
}

/** A page of a listing as it is written, row by row: pages of a hundred thousand packs go out to many at once, so a row is never an object. */
export class RowsWriter {
  readonly #kind: ObjectKind;
  readonly #width: number;
  readonly #page: Uint8Array;
  readonly #view: DataView;
  #count = 0;

  constructor(kind: ObjectKind) {
    this.#kind = kind;
    this.#width = rowBytes(kind);
    this.#page = new Uint8Array(pageBytes(kind));
    this.#view = viewOf(this.#page);
  }

  get isFull(): boolean {
    return this.#count === PAGE_ROWS;
  }

  /** @param sequence - of an entry, else 0 */
  add(id: Uint8Array, sequence: number, sizeBytes: number, storedMs: number): void {
    const at = this.#count++ * this.#width;
    const end = at + this.#width;
    this.#page.set(id, at);
    if (this.#kind === 'entry') setUint64(this.#view, at + ID_BYTES.entry, sequence);
    setUint64(this.#view, end - 16, sizeBytes);
    setUint64(this.#view, end - 8, Math.max(0, Math.floor(storedMs)));
  }

  finish(): Uint8Array {
    const used = this.#count * this.#width;
    // What waits to be sent should not hold much more than that.
    return used * 2 < this.#page.byteLength ? this.#page.slice(0, used) : this.#page.subarray(0, used);
  }
}

const TWO32 = 0x1_0000_0000;

function setUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % TWO32, true);
  view.setUint32(at + 4, Math.floor(value / TWO32), true);
}

const getUint64 = (view: DataView, at: number): number => view.getUint32(at, true) + view.getUint32(at + 4, true) * TWO32;

/** What a vault says of itself. */
export interface Hello {
  readonly protocol: number;
  readonly role: VaultRole;
  /** Hex; absent before there is a repository. */
  readonly repository?: string;
  /** Ed25519 public key, hex. */
  readonly vault: string;
  /** Whether genesis or an admin certify that key, so that receipts can be written. */
  readonly certified: boolean;
  /** The author that this connection writes as, hex; absent when it is not fixed. */
  readonly writer?: string;
  /** Its late clock, milliseconds since 1970. */
  readonly nowMs: number;
}

/** The answer to an entry that was stored. */
export interface Acknowledged {
  /** The vault's own word, once it may write receipts. */
  readonly receipt?: {
    readonly timeSec: number;
    readonly retainUntilSec: number;
    readonly slots: number;
  };
}

/** An error as an answer carries it. */
export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly details?: Readonly<Record<string, string | number | boolean | readonly string[]>>;
}

/** sun_path without its final zero: 108 bytes on Linux, 104 on macOS and the BSDs. */
export const MAX_SOCKET_PATH_BYTES = process.platform === 'linux' ? 107 : 103;

/** What is wrong with a socket's path, as a sentence; undefined if nothing is. */
export function badSocketPath(path: string): string | undefined {
  const bytes = Buffer.byteLength(path);
  if (bytes <= MAX_SOCKET_PATH_BYTES) return undefined;
  return `the path of a unix socket may have ${MAX_SOCKET_PATH_BYTES} bytes, and ${path} has ${bytes}; choose a shorter one`;
}
