/** The stream a snapshot belongs to: an id that follows from host and label, and says neither (docs/format.md §10). Pure. */
import { utf8 } from '../bytes.js';
import { hmac } from '../crypto/kdf.js';
import { encodeStreamName } from '../format/manifest.js';
import { asId, type StreamId } from '../id.js';

/** @param namesKey - the domain's k_name, 32 bytes */
export function streamId(namesKey: Uint8Array, host: string, label: string): StreamId {
  return asId('stream', hmac(namesKey, utf8('stream'), encodeStreamName(host, label)).slice(0, 16));
}
