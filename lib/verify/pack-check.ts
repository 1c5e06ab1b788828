/**
 * Verifies packs held in memory: every byte through the pack's name, every chunk through its id (docs/format.md §7). Blocking, for any thread, no I/O.
 */
import { compareBytes, equalBytes, toHex } from '../bytes.js';
import { open } from '../crypto/envelope.js';
import { sha256 } from '../crypto/kdf.js';
import { type DomainKeys, domainKeys, domainSecret, readerPrivateKeys } from '../crypto/roles.js';
import { packKey } from '../crypto/session.js';
import { type SessionOpener, sessionOpener } from '../crypto/session-open.js';
import { CorruptError } from '../errors.js';
import * as format from '../format/pack.js';
import { native } from '../native.js';

/** What opens packs; plain data, so that worker threads can be given it. */
export interface PackSecrets {
  readonly repository: Uint8Array;
  readonly salt: Uint8Array;
  readonly root: Uint8Array;
  /** Of later rotations, as in a keyring. */
  readonly readers?: readonly Uint8Array[] | undefined;
}

/** Session and domain keys as packs ask for them. */
export class PackKeys {
  readonly #secrets: PackSecrets;
  readonly #open: SessionOpener;
  readonly #domains = new Map<string, DomainKeys>();
  readonly #sessions = new Map<string, Uint8Array>();

  constructor(secrets: PackSecrets) {
    this.#secrets = secrets;
    this.#open = sessionOpener(readerPrivateKeys(secrets.root, secrets.salt, secrets.readers));
  }

  domain(domain: Uint8Array): DomainKeys {
    const hex = toHex(domain);
    let keys = this.#domains.get(hex);
    if (keys === undefined) {
      const { root, salt } = this.#secrets;
      keys = domainKeys(domainSecret(root, salt, domain), salt, domain);
      // Garbage can name any number of domains; a repository has few.
      if (this.#domains.size >= 1024) this.#domains.clear();
      this.#domains.set(hex, keys);
    }
    return keys;
  }

  /** The session's key, or undefined when its seal does not open. @throws CorruptError for a pack of another repository */
  session(header: format.PackHeader, object: string): Uint8Array | undefined {
    if (!equalBytes(header.repository, this.#secrets.repository)) throw new CorruptError(object, 'belongs to another repository');
    const hex = toHex(header.session) + toHex(header.enc);
    let key = this.#sessions.get(hex);
    if (key === undefined) {
      key = this.#open(this.domain(header.domain), header, header);
      if (key === undefined) return undefined;
      if (this.#sessions.size >= 4096) this.#sessions.clear();
      this.#sessions.set(hex, key);
    }
    return key;
  }
}

/** A pack's own header and its directory's plaintext without padding. */
export interface OwnDirectory {
  readonly header: Uint8Array;
  readonly directory: Uint8Array;
}

/** Header, footer and directory of the pack in `bytes`. @throws CorruptError, NewerFormatError */
export function ownDirectory(bytes: Uint8Array, name: string, keys: PackKeys): OwnDirectory {
  if (bytes.byteLength < format.PACK_HEADER_BYTES + format.PACK_FOOTER_BYTES)
    throw new CorruptError(name, `only ${bytes.byteLength} bytes long`);
  const header = bytes.slice(0, format.PACK_HEADER_BYTES);
  const fields = format.decodePackHeader(header, name);
  if (keys.session(fields, name) === undefined) throw new CorruptError(name, 'the session key in its header does not open');
  const footer = format.decodePackFooter(bytes.subarray(bytes.byteLength - format.PACK_FOOTER_BYTES), bytes.byteLength, name);
  if (!equalBytes(footer.enc, fields.enc) || !equalBytes(footer.ct, fields.ct))
    throw new CorruptError(name, 'its footer is not that of its header');
  const sealed = bytes.subarray(footer.offset, footer.offset + footer.length);
  const plain = open(keys.domain(fields.domain).index, format.directoryAad(header), sealed);
  if (plain === undefined) throw new CorruptError(name, 'its directory does not verify');
  const { frames, chunkCount } = format.decodeDirectory(plain, footer.offset, name);
  return { header, directory: plain.slice(0, 8 + frames.length * format.FRAME_ROW_BYTES + chunkCount * format.CHUNK_ROW_BYTES) };
}

/**
 * Opens every frame of the pack in `bytes` that `known` describes and recomputes every chunk id.
 *
 * @param scratch - at least MAX_FRAME_BYTES
 * @returns numbers of the frames that do not verify, and why the first does not
 * @throws CorruptError if no frame can be opened at all
 */
export function damagedFrames(
  bytes: Uint8Array,
  name: string,
  known: OwnDirectory,
  keys: PackKeys,
  scratch: Uint8Array,
): { frames: number[]; reason: string | undefined } {
  const fields = format.decodePackHeader(known.header, name);
  const session = keys.session(fields, name);
  if (session === undefined) throw new CorruptError(name, 'its session key does not open');
  const key = packKey(session, fields.salt);
  const chunkIdKey = keys.domain(fields.domain).chunkId;
  const headerDigest = sha256(known.header);
  const directory = format.decodeDirectory(known.directory, format.MAX_PACK_BYTES, name);
  const frames: number[] = [];
  let reason: string | undefined;
  directory.frames.forEach((frame, number) => {
    const rows = format.rowsOfFrame(directory, frame);
    const why = frameDamage(bytes, frame, number, rows, fields.packClass, { key, chunkIdKey, headerDigest }, scratch);
    if (why === undefined) return;
    frames.push(number);
    reason ??= why;
  });
  return { frames, reason };
}

interface FrameKeys {
  readonly key: Uint8Array;
  readonly chunkIdKey: Uint8Array;
  readonly headerDigest: Uint8Array;
}

function frameDamage(
  bytes: Uint8Array,
  frame: format.Frame,
  number: number,
  rows: Uint8Array,
  packClass: number,
  keys: FrameKeys,
  scratch: Uint8Array,
): string | undefined {
  const where = `frame ${number} at byte ${frame.offset}`;
  if (frame.offset + frame.sealedBytes > bytes.byteLength) return `${where} is cut off`;
  for (let at = 32; at < rows.byteLength; at += format.CHUNK_ROW_BYTES) {
    if ((rows[at] === format.ChunkType.data) !== (packClass === format.PackClass.data))
      return `${where} holds a chunk of another class than its pack`;
  }
  const aad = format.frameAad(keys.headerDigest, number, frame.codec, frame.rawBytes, rows);
  try {
    native().openFrame(
      bytes.subarray(frame.offset, frame.offset + frame.sealedBytes),
      keys.key,
      number,
      aad,
      frame.codec,
      scratch,
      frame.rawBytes,
    );
  } catch {
    return `${where} does not verify`;
  }
  const row = native().verifyRows(keys.chunkIdKey, scratch.subarray(0, frame.rawBytes), rows);
  return row === -1 ? undefined : `chunk ${row} of ${where} is not what its id says`;
}

/**
 * Verifies all of a pack: name, header, footer, directory, frames, chunk ids.
 *
 * @returns SHA-256 of header ‖ directory, to compare with what an index says of the pack
 * @throws CorruptError, NewerFormatError
 */
export function verifyPack(bytes: Uint8Array, id: Uint8Array, name: string, keys: PackKeys, scratch: Uint8Array): Uint8Array {
  const hashFits = compareBytes(sha256(bytes), id) === 0;
  const own = ownDirectory(bytes, name, keys);
  const { reason } = damagedFrames(bytes, name, own, keys, scratch);
  if (reason !== undefined) throw new CorruptError(name, reason);
  if (!hashFits) throw new CorruptError(name, 'its bytes do not fit its name');
  return sha256(own.header, own.directory);
}
