/**
 * Readable twins of the frame kernels (native/frame.cc): zstd-napi for compression, @noble/ciphers for sealing.
 * Given the same zstd version they must produce the same bytes. Never used outside tests.
 */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { Compressor, Decompressor } from 'zstd-napi';

/** The frame number as a 96-bit little-endian nonce. */
export function frameNonce(frameNumber: number): Uint8Array {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setBigUint64(0, BigInt(frameNumber), true);
  return nonce;
}

/** ChaCha20-Poly1305 over `payload` as it is, honest or not. */
export function sealPayload(payload: Uint8Array, key: Uint8Array, frameNumber: number, aad: Uint8Array): Uint8Array {
  return chacha20poly1305(key, frameNonce(frameNumber), aad).encrypt(payload);
}

export interface SealedFrame {
  readonly sealed: Uint8Array;
  readonly codec: 0 | 1;
}

/** Compresses and seals; `aad` gets the codec chosen at index `codecAt`, in a copy. */
export function sealFrame(
  raw: Uint8Array,
  key: Uint8Array,
  frameNumber: number,
  aad: Uint8Array,
  codecAt: number,
  level: number,
): SealedFrame {
  const compressor = new Compressor();
  compressor.setParameters({ compressionLevel: level, contentSizeFlag: true, checksumFlag: false, dictIDFlag: false });
  const packed = compressor.compress(raw);
  const codec = packed.length < raw.length ? 1 : 0;
  const complete = aad.slice();
  complete[codecAt] = codec;
  return { sealed: sealPayload(codec === 1 ? packed : raw, key, frameNumber, complete), codec };
}

/** Opens a frame that is known to be honest. @throws when its tag does not match */
export function openFrame(sealed: Uint8Array, key: Uint8Array, frameNumber: number, aad: Uint8Array, codec: number): Uint8Array {
  const opened = chacha20poly1305(key, frameNonce(frameNumber), aad).decrypt(sealed);
  return codec === 1 ? new Uint8Array(new Decompressor().decompress(opened)) : opened;
}
