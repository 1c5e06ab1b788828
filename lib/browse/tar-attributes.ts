/**
 * Extended attributes as records of a pax header, in the forms that GNU tar and libarchive (bsdtar) restore: ACLs as text (SCHILY.acl.*), the rest by name
 * (SCHILY.xattr.*). A record ends its keyword at the first `=`, so GNU tar writes `=` in a name as %3D and `%` as %25; libarchive knows its own form only. Pure.
 */
import { utf8, viewOf } from '../bytes.js';

export interface PaxRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

const ACL_KEYS: Readonly<Record<string, string>> = {
  'system.posix_acl_access': 'SCHILY.acl.access',
  'system.posix_acl_default': 'SCHILY.acl.default',
};
const ACL_TAGS: Readonly<Record<number, 'user' | 'group' | 'mask' | 'other'>> = {
  1: 'user',
  2: 'user',
  4: 'group',
  8: 'group',
  16: 'mask',
  32: 'other',
};
const NAMED: readonly number[] = [2, 8];
const ACL_VERSION = 2;

/** The records for one attribute. */
export function attributeRecords(name: Uint8Array, value: Uint8Array): PaxRecord[] {
  const text = Buffer.from(name).toString('latin1');
  const aclKey = ACL_KEYS[text];
  const acl = aclKey === undefined ? undefined : aclText(value);
  if (aclKey !== undefined && acl !== undefined) return [{ key: utf8(aclKey), value: utf8(acl) }];
  const escaped = text.replaceAll('%', '%25').replaceAll('=', '%3D');
  const records = [{ key: Buffer.from(`SCHILY.xattr.${escaped}`, 'latin1'), value }];
  if (escaped !== text) {
    const encoded = text.replaceAll(
      /[^!-$&-<>-~]/g,
      (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
    );
    // Without padding, as libarchive writes it.
    const base64 = Buffer.from(value).toString('base64').replace(/=+$/, '');
    records.push({ key: Buffer.from(`LIBARCHIVE.xattr.${encoded}`, 'latin1'), value: utf8(base64) });
  }
  return records;
}

/** An ACL as Linux keeps it (`linux/posix_acl_xattr.h`) in the short text form, users and groups by number; undefined when it is none. */
function aclText(value: Uint8Array): string | undefined {
  if (value.byteLength < 4 || (value.byteLength - 4) % 8 !== 0) return undefined;
  const view = viewOf(value);
  if (view.getUint32(0, true) !== ACL_VERSION) return undefined;
  const entries: string[] = [];
  for (let at = 4; at < value.byteLength; at += 8) {
    const [tag, rights, id] = [view.getUint16(at, true), view.getUint16(at + 2, true), view.getUint32(at + 4, true)];
    const kind = ACL_TAGS[tag];
    if (kind === undefined || rights > 7) return undefined;
    const letters = `${rights & 4 ? 'r' : '-'}${rights & 2 ? 'w' : '-'}${rights & 1 ? 'x' : '-'}`;
    entries.push(`${kind}:${NAMED.includes(tag) ? id : ''}:${letters}`);
  }
  return entries.join(',');
}
