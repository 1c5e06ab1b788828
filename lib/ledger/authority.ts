/**
 * Whose entries count, and how far (docs/format.md §11): the admins of the genesis, the keys they certified, and where a chain was ended by
 * rotation or retirement. Pure: entries in, answers out; reading and verifying chains is ledger.ts.
 */
import { concat, equalBytes, toHex } from '../bytes.js';
import { authorOf, verifySignature } from '../crypto/sign.js';
import type { Author, LedgerEntry } from '../format/entry.js';
import type { Genesis } from '../format/genesis.js';
import { CertifiedRole, type ChainHead, type PayloadOf, payloadOf, RotatedRole } from '../format/payload.js';
import type { AuthorId } from '../id.js';

export type AuthorRole = Exclude<Author, 'founder'>;

/** What is known of a chain: its entries, and the SHA-256 of each one's object. */
export interface KnownChain {
  readonly entries: readonly LedgerEntry[];
  readonly hashes: readonly Uint8Array[];
}

export type ChainOf = (author: AuthorId) => KnownChain | undefined;

export interface Authority {
  readonly author: AuthorId;
  readonly publicKey: Uint8Array;
  /** The first of its roles, in the order admin, vault, auditor, writer. */
  readonly role: AuthorRole;
  /** Everything that the key is certified for: an entry may be of any of them, so that no certificate makes an earlier entry wrong. */
  readonly roles: ReadonlySet<Author>;
  /** What certificates that do not count any more made it besides: what it wrote as such is no fault of its own, and counts as little as what is behind an end. */
  readonly disownedRoles?: ReadonlySet<Author>;
  /** How many entries of the chain count; Infinity while it goes on. */
  readonly limit: number;
  /** How many may be receipts, extensions and holds that count: 0 for whoever never was a vault, above `limit` for a vault that was retired or disowned. */
  readonly receiptLimit: number;
  /** Of vaults, the place of its first certificate among those of vaults: of two receipts, the time of the lower one counts. */
  readonly vaultRank?: number;
  /** What the retirement says the chain's end is, if it was retired. */
  readonly retired?: Retirement;
  /** Only certificates that do not count any more made it: nothing of its chain counts, but what was promised in it stands. */
  readonly disowned?: true;
}

/** The end that retirements give to a chain. */
export interface Retirement extends Pick<ChainHead, 'author' | 'count'> {
  readonly reason: string;
  /** What they say the SHA-256 of the last entry that counts is, zeros for none: of all with this count, the least. They must agree with the chain, and so with each other. */
  readonly heads: readonly Uint8Array[];
}

/** What the admins' chains say. */
export interface Authorized {
  readonly authorities: Authority[];
  /** Retirements of authors whom nobody made. */
  readonly strangers: Retirement[];
}

/** Where a retirement stands, for the receipt of it. */
interface RetiredBy {
  readonly author: AuthorId;
  readonly sequence: number;
  readonly hash: Uint8Array | undefined;
}

const ORDER = ['admin', 'vault', 'auditor', 'writer'] as const;
const CERTIFIED = {
  [CertifiedRole.admin]: 'admin',
  [CertifiedRole.vault]: 'vault',
  [CertifiedRole.auditor]: 'auditor',
} as const;

/** Keys and what they were certified for, in the order in which that was said. */
class Made {
  readonly #roles = new Map<string, Set<Author>>();
  readonly #keys: Record<AuthorRole, Uint8Array[]> = { admin: [], vault: [], auditor: [], writer: [] };

  add(publicKey: Uint8Array, role: AuthorRole): void {
    const hex = toHex(authorOf(publicKey));
    const roles = this.#roles.get(hex);
    if (roles?.has(role) === true) return;
    if (roles === undefined) this.#roles.set(hex, new Set([role]));
    else roles.add(role);
    this.#keys[role].push(publicKey);
  }

  keys(role: AuthorRole): readonly Uint8Array[] {
    return this.#keys[role];
  }

  roles(author: string): Set<Author> | undefined {
    return this.#roles.get(author);
  }
}

/** Reads the admins' chains one after another, by rank. */
class AdminWalk {
  /** By certificates that count, and by those behind the end of their admin's chain. */
  readonly made = new Made();
  readonly disowned = new Made();
  readonly retired = new Map<string, Retirement>();
  readonly retiredBy = new Map<string, RetiredBy[]>();
  readonly limits = new Map<string, number>();
  readonly #chainOf: ChainOf;

  constructor(genesis: Genesis, chainOf: ChainOf) {
    this.#chainOf = chainOf;
    for (const admin of genesis.admins) this.made.add(admin, 'admin');
    if (genesis.vault !== null) this.made.add(genesis.vault, 'vault');
    for (let rank = 0; rank < this.made.keys('admin').length; rank++) this.#read(this.made.keys('admin')[rank]!, false);
    for (let i = 0; i < this.disowned.keys('admin').length; i++) this.#read(this.disowned.keys('admin')[i]!, true);
  }

  #read(publicKey: Uint8Array, isDisowned: boolean): void {
    const author = authorOf(publicKey);
    const hex = toHex(author);
    if (this.limits.has(hex)) return;
    const { entries, hashes } = this.#chainOf(author) ?? { entries: [], hashes: [] };
    const rotation = entries.findIndex(({ payload }) => payloadOf(payload, 'keyRotate')?.role === RotatedRole.admin);
    const ends = rotation < 0 ? Number.POSITIVE_INFINITY : rotation + 1;
    const limit = isDisowned ? 0 : Math.min(ends, this.retired.get(hex)?.count ?? Number.POSITIVE_INFINITY);
    this.limits.set(hex, limit);
    for (const [i, { payload }] of entries.entries()) {
      const made = i < limit ? this.made : this.disowned;
      const rotated = payloadOf(payload, 'keyRotate');
      if (rotated?.role === RotatedRole.admin) made.add(rotated.publicKey, 'admin');
      const cert = payloadOf(payload, 'cert');
      if (cert !== undefined) made.add(cert.publicKey, CERTIFIED[cert.role as keyof typeof CERTIFIED]);
      const writer = payloadOf(payload, 'writerCert');
      if (writer !== undefined) made.add(writer.publicKey, 'writer');
      const retire = payloadOf(payload, 'retire');
      if (retire !== undefined && i < limit) this.#retire(retire, { author, sequence: i, hash: hashes[i] });
    }
  }

  #retire({ author, count, head, reason }: PayloadOf<'retire'>, by: RetiredBy): void {
    const hex = toHex(author);
    // An admin that ranks above has been dealt with already: nothing here changes it. The least count wins.
    if (this.limits.has(hex)) return;
    const all = this.retiredBy.get(hex);
    if (all === undefined) this.retiredBy.set(hex, [by]);
    else all.push(by);
    const other = this.retired.get(hex);
    if (other !== undefined && other.count < count) return;
    if (other?.count === count) this.retired.set(hex, { ...other, heads: [...other.heads, head] });
    else this.retired.set(hex, { author, count, reason, heads: [head] });
  }
}

/**
 * Everybody with authority, in the order in which chains are merged: admins, vaults, auditors, writers, and last those of whom only certificates that do not
 * count any more speak. An admin ranks by its place in this order, and only an admin of higher rank can retire it; a rotation ends the chain of the key that
 * signs it. `chainOf` gives what is known of a chain so far: ask again when more chains have been read, until nobody new appears.
 */
export function authorities(genesis: Genesis, chainOf: ChainOf): Authority[] {
  return authorized(genesis, chainOf).authorities;
}

/** As `authorities`, with what was said of others. */
export function authorized(genesis: Genesis, chainOf: ChainOf): Authorized {
  const { made, disowned, retired, retiredBy, limits } = new AdminWalk(genesis, chainOf);
  const founder = toHex(authorOf(genesis.admins[0]!));
  const result: Authority[] = [];
  const seen = new Set<string>();
  const vaults = [...made.keys('vault'), ...disowned.keys('vault')].map((key) => toHex(authorOf(key)));
  const add = (publicKey: Uint8Array, role: AuthorRole, by: Made): void => {
    const author = authorOf(publicKey);
    const hex = toHex(author);
    if (seen.has(hex)) return;
    seen.add(hex);
    const roles = by.roles(hex)!;
    if (hex === founder) roles.add('founder');
    const end = retired.get(hex);
    const limit = by === disowned ? 0 : (limits.get(hex) ?? end?.count ?? Number.POSITIVE_INFINITY);
    const isVault = by === made && roles.has('vault');
    const wasVault = isVault || disowned.roles(hex)?.has('vault') === true;
    const receiptLimit = wasVault ? receiptsEnd(chainOf(author), isVault ? limit : 0, retiredBy.get(hex)) : 0;
    result.push({
      author,
      publicKey,
      role,
      roles,
      limit,
      receiptLimit,
      ...(wasVault ? { vaultRank: vaults.indexOf(hex) } : {}),
      ...(end === undefined ? {} : { retired: end }),
      ...(by === disowned ? { disowned: true as const } : {}),
      ...(by === made && disowned.roles(hex) !== undefined ? { disownedRoles: disowned.roles(hex)! } : {}),
    });
  };
  for (const by of [made, disowned]) for (const role of ORDER) for (const key of by.keys(role)) add(key, role, by);
  return { authorities: result, strangers: [...retired].flatMap(([hex, one]) => (seen.has(hex) ? [] : [one])) };
}

/**
 * How far a vault's receipts count: what it acknowledged before it took note of its own retirement is not taken back by any admin. A retirement that the vault
 * never saw ends none of them.
 */
function receiptsEnd(chain: KnownChain | undefined, limit: number, by: readonly RetiredBy[] | undefined): number {
  if (limit === Number.POSITIVE_INFINITY) return limit;
  for (const [i, { payload }] of (chain?.entries ?? []).entries()) {
    if (i < limit) continue;
    for (const one of payloadOf(payload, 'receipt')?.receipts ?? [])
      if (by?.some((entry) => fits(entry, one)) === true) return i + 1;
  }
  return Number.POSITIVE_INFINITY;
}

function fits(entry: RetiredBy, receipt: { author: Uint8Array; sequence: number; hash: Uint8Array }): boolean {
  return (
    entry.sequence === receipt.sequence &&
    equalBytes(entry.author, receipt.author) &&
    entry.hash !== undefined &&
    equalBytes(entry.hash, receipt.hash)
  );
}

/** The domains, hex, that certificates name for writers, by author id in hex. `entries`: those that count. */
export function certifiedDomains(entries: readonly LedgerEntry[]): Map<string, Set<string>> {
  const domains = new Map<string, Set<string>>();
  for (const { payload } of entries) {
    const cert = payloadOf(payload, 'writerCert');
    if (cert === undefined) continue;
    const author = toHex(authorOf(cert.publicKey));
    const own = domains.get(author) ?? new Set();
    domains.set(author, own.add(toHex(cert.domain)));
  }
  return domains;
}

/** Whether the chain of which these are the hashes has the end that its retirements name. */
export function hasEnd(
  hashes: readonly (Uint8Array | undefined)[],
  { count, heads }: Pick<Retirement, 'count' | 'heads'>,
): boolean {
  const there = count === 0 ? new Uint8Array(32) : hashes[count - 1];
  return there !== undefined && heads.every((head) => equalBytes(there, head));
}

/** What to say of a chain that does not have the end of its retirement; undefined when it has. */
export function wrongEnd(hashes: readonly (Uint8Array | undefined)[], retired: Retirement): string | undefined {
  if (hasEnd(hashes, retired)) return undefined;
  const { count } = retired;
  return `had ${count} entries when its author was retired and has ${hashes.length < count ? hashes.length : 'others'}`;
}

export const READER_ROTATION_LABEL = 'varve v1 reader rotation';

/** What the holder of the root secret signs when the reader key is rotated. */
export function readerRotationMessage(repository: Uint8Array, publicKey: Uint8Array): Uint8Array {
  return concat(repository, publicKey);
}

/** What is known of a repository before any of its objects but the genesis. */
export interface Identity {
  readonly id: Uint8Array;
  readonly genesis: Genesis;
}

/** Whether a payload is a rotation of the reader key that counts: where the genesis names a key for it, an admin alone cannot rotate to a key that nobody has. */
export function isReaderRotation({ id, genesis }: Identity, rotation: PayloadOf<'keyRotate'> | undefined): boolean {
  if (rotation?.role !== RotatedRole.reader) return false;
  const { readerSigner } = genesis;
  if (readerSigner === undefined) return true;
  const { publicKey, signature } = rotation;
  return (
    signature !== undefined &&
    verifySignature(readerSigner, READER_ROTATION_LABEL, readerRotationMessage(id, publicKey), signature)
  );
}
