/** Names of objects in a store (docs/format.md §3). Pure. */
import { toHex } from '../bytes.js';
import { type AuthorId, asId, idFromHex, type PackId } from '../id.js';

export const GENESIS_NAME = 'genesis';

export function packName(id: Uint8Array): string {
  return packNameOf(toHex(id));
}

/** As packName, of an id in hex. */
export function packNameOf(hex: string): string {
  return `packs/${hex.slice(0, 2)}/${hex}`;
}

export function indexName(id: Uint8Array): string {
  return `index/${toHex(id)}`;
}

export function manifestName(id: Uint8Array): string {
  return `snapshots/${toHex(id)}`;
}

export function entryName(author: AuthorId, sequence: number): string {
  return `ledger/${toHex(author)}/${String(sequence).padStart(16, '0')}`;
}

export function slotName(id: Uint8Array): string {
  return `keys/${toHex(id)}`;
}

export function isSlotName(name: string): boolean {
  return /^keys\/[0-9a-f]{16}$/.test(name);
}

/** What every claim of an init begins with (lib/ledger/init-claim.ts); claims are no objects. */
export const INIT_CLAIM_PREFIX = 'init-';

export function isInitClaim(name: string): boolean {
  return /^init-[0-9a-f]{32}$/.test(name);
}

/** Author and sequence of a ledger entry's name, or undefined when it is not one. */
export function parseEntryName(name: string): { author: AuthorId; sequence: number } | undefined {
  const match = /^ledger\/([0-9a-f]{32})\/([0-9]{16})$/.exec(name);
  if (match === null) return undefined;
  return { author: idFromHex('author', match[1]!), sequence: Number(match[2]) };
}

/** The pack id in a pack's name, in hex, or undefined when it is not one. */
export function packHexOf(name: string): string | undefined {
  if (!/^packs\/([0-9a-f]{2})\/\1[0-9a-f]{62}$/.test(name)) return undefined;
  return name.slice(9);
}

/** The pack id in a pack's name, or undefined when it is not one. */
export function parsePackName(name: string): PackId | undefined {
  const hex = packHexOf(name);
  return hex === undefined ? undefined : asId('pack', new Uint8Array(Buffer.from(hex, 'hex')));
}

/** The 32-byte id in `index/…` or `snapshots/…`, in hex, or undefined. */
export function idHexOf(folder: 'index' | 'snapshots', name: string): string | undefined {
  const hex = name.startsWith(`${folder}/`) ? name.slice(folder.length + 1) : '';
  return /^[0-9a-f]{64}$/.test(hex) ? hex : undefined;
}

/** As idHexOf, in bytes. */
export function parseIdName(folder: 'index' | 'snapshots', name: string): Uint8Array | undefined {
  const hex = idHexOf(folder, name);
  return hex === undefined ? undefined : new Uint8Array(Buffer.from(hex, 'hex'));
}
