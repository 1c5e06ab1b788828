/**
 * Whose entries count, and how far (docs/format.md §11): the admins of the genesis, the keys they certified, and where a chain was ended by
 * rotation or retirement. Pure: entries in, answers out; reading and verifying chains is ledger.ts.
 */
import { equalBytes, toHex } from '../bytes.js';
import { authorOf } from '../crypto/sign.js';
import type { Author, LedgerEntry } from '../format/entry.js';
import type { Genesis } from '../format/genesis.js';
import { CertifiedRole, type ChainHead, payloadOf, RotatedRole } from '../format/payload.js';
import type { AuthorId } from '../id.js';

export type AuthorRole = 'admin' | 'writer' | 'vault';

export interface Authority {
  readonly author: AuthorId;
  readonly publicKey: Uint8Array;
  readonly role: AuthorRole;
  /** As `misplaced` wants it. */
  readonly by: Author;
  /** How many entries of the chain count; Infinity while it goes on. */
  readonly limit: number;
  /** What the retirement says the chain's end is, if it was retired. */
  readonly retired?: Retirement;
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

/**
 * Everybody with authority, in the order in which chains are merged: admins, vaults, writers. An admin ranks by its place in this order, and only an
 * admin of higher rank can retire it; a rotation ends the chain of the key that signs it. `entriesOf` gives what is known of a chain so far: ask again
 * when more chains have been read, until nobody new appears.
 */
export function authorities(genesis: Genesis, entriesOf: (author: AuthorId) => readonly LedgerEntry[] | undefined): Authority[] {
  return authorized(genesis, entriesOf).authorities;
}

/** As `authorities`, with what was said of others. */
export function authorized(genesis: Genesis, entriesOf: (author: AuthorId) => readonly LedgerEntry[] | undefined): Authorized {
  const admins: Uint8Array[] = [...genesis.admins];
  const vaults: Uint8Array[] = genesis.vault === null ? [] : [genesis.vault];
  const writers: Uint8Array[] = [];
  const retired = new Map<string, Retirement>();
  const result: Authority[] = [];
  const seen = new Set<string>();
  const add = (publicKey: Uint8Array, role: AuthorRole, by: Author, ends: number): Authority | undefined => {
    const author = authorOf(publicKey);
    const hex = toHex(author);
    if (seen.has(hex)) return undefined;
    seen.add(hex);
    const end = retired.get(hex);
    const limit = Math.min(ends, end?.count ?? Number.POSITIVE_INFINITY);
    const authority = { author, publicKey, role, by, limit, ...(end === undefined ? {} : { retired: end }) };
    result.push(authority);
    return authority;
  };
  for (let rank = 0; rank < admins.length; rank++) {
    const publicKey = admins[rank]!;
    const entries = entriesOf(authorOf(publicKey)) ?? [];
    const rotation = entries.findIndex(({ payload }) => payloadOf(payload, 'keyRotate')?.role === RotatedRole.admin);
    const ends = rotation < 0 ? Number.POSITIVE_INFINITY : rotation + 1;
    const authority = add(publicKey, 'admin', rank === 0 ? 'founder' : 'admin', ends);
    if (authority === undefined) continue;
    for (const { payload } of entries.slice(0, authority.limit)) {
      const rotated = payloadOf(payload, 'keyRotate');
      if (rotated?.role === RotatedRole.admin) admins.push(rotated.publicKey);
      const cert = payloadOf(payload, 'cert');
      if (cert !== undefined) (cert.role === CertifiedRole.admin ? admins : vaults).push(cert.publicKey);
      const writer = payloadOf(payload, 'writerCert');
      if (writer !== undefined) writers.push(writer.publicKey);
      const retire = payloadOf(payload, 'retire');
      if (retire !== undefined) {
        const hex = toHex(retire.author);
        // An admin that ranks above has been dealt with already: nothing here changes it. The least count wins.
        const { author, count, head, reason } = retire;
        const other = retired.get(hex);
        if (seen.has(hex) || (other !== undefined && other.count < count)) continue;
        if (other?.count === count) retired.set(hex, { ...other, heads: [...other.heads, head] });
        else retired.set(hex, { author, count, reason, heads: [head] });
      }
    }
  }
  for (const publicKey of vaults) add(publicKey, 'vault', 'vault', Number.POSITIVE_INFINITY);
  for (const publicKey of writers) add(publicKey, 'writer', 'writer', Number.POSITIVE_INFINITY);
  return { authorities: result, strangers: [...retired].flatMap(([hex, one]) => (seen.has(hex) ? [] : [one])) };
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

/** The public key that a session must be sealed to: the last rotation's, else the genesis's. `entries` in merged order. */
export function readerKeyInForce(genesis: Genesis, entries: readonly LedgerEntry[]): Uint8Array {
  let key = genesis.readerKey;
  for (const { payload } of entries) {
    const rotation = payloadOf(payload, 'keyRotate');
    if (rotation?.role === RotatedRole.reader) key = rotation.publicKey;
  }
  return key;
}
