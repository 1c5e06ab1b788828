/** The eight bytes every object starts with, and the frame of signed objects (docs/format.md §2). Pure. */
import { concat, viewOf } from '../bytes.js';
import { CorruptError, NewerFormatError } from '../errors.js';

export const PREAMBLE_BYTES = 8;
export const SIGNATURE_BYTES = 64;
export const FORMAT_VERSION = 1;
export const SUITE = 1;

export const Kind = { genesis: 1, keySlot: 2, pack: 3, index: 4, manifest: 5, entry: 6, keyFile: 7 } as const;
export type Kind = (typeof Kind)[keyof typeof Kind];

/** The preamble of an object of `kind`. */
export function preamble(kind: Kind): Uint8Array {
  return Uint8Array.of(0x56, 0x41, 0x52, 0x56, kind, FORMAT_VERSION, SUITE, 0);
}

/**
 * Checks that `bytes` start as an object of `kind` must: version and suite first, since another one may change everything after it.
 *
 * @throws NewerFormatError for a higher version
 * @throws CorruptError for anything else
 */
export function checkPreamble(bytes: Uint8Array, kind: Kind, object: string): void {
  if (bytes.byteLength < PREAMBLE_BYTES) throw new CorruptError(object, `only ${bytes.byteLength} bytes long`);
  if (bytes[0] !== 0x56 || bytes[1] !== 0x41 || bytes[2] !== 0x52 || bytes[3] !== 0x56)
    throw new CorruptError(object, 'not an object of this format');
  if (bytes[5]! > FORMAT_VERSION) throw new NewerFormatError(object, bytes[5]!);
  if (bytes[5] !== FORMAT_VERSION) throw new CorruptError(object, `is of version ${bytes[5]}, which there never was`);
  if (bytes[6] !== SUITE) throw new CorruptError(object, `uses algorithms that this program does not know (suite ${bytes[6]})`);
  if (bytes[4] !== kind) throw new CorruptError(object, `is of kind ${bytes[4]}, not ${kind}`);
  if (bytes[7] !== 0) throw new CorruptError(object, 'has a flag that is not of this version');
}

/** preamble ‖ u32 length ‖ record: what is signed, or stands before a seal. */
export function withLength(kind: Kind, record: Uint8Array): Uint8Array {
  const length = new Uint8Array(4);
  viewOf(length).setUint32(0, record.byteLength, true);
  return concat(preamble(kind), length, record);
}

/** Splits preamble ‖ u32 length ‖ record ‖ rest. @throws CorruptError, NewerFormatError */
export function splitLength(
  bytes: Uint8Array,
  kind: Kind,
  object: string,
): { head: Uint8Array; record: Uint8Array; rest: Uint8Array } {
  checkPreamble(bytes, kind, object);
  if (bytes.byteLength < 12) throw new CorruptError(object, 'ends too early');
  const length = viewOf(bytes).getUint32(8, true);
  if (length > bytes.byteLength - 12) throw new CorruptError(object, 'its length field points past its end');
  return { head: bytes.subarray(0, 12 + length), record: bytes.subarray(12, 12 + length), rest: bytes.subarray(12 + length) };
}

/** Splits a signed object into what is signed, its body and its signature. @throws CorruptError, NewerFormatError */
export function splitSigned(
  bytes: Uint8Array,
  kind: Kind,
  object: string,
  maxBytes: number,
): { signed: Uint8Array; body: Uint8Array; signature: Uint8Array } {
  if (bytes.byteLength > maxBytes) throw new CorruptError(object, `longer than ${maxBytes} bytes`);
  const { head, record, rest } = splitLength(bytes, kind, object);
  if (rest.byteLength !== SIGNATURE_BYTES) throw new CorruptError(object, 'its signature has a wrong length');
  return { signed: head, body: record, signature: rest };
}
