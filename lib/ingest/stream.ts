/** Reads a stream block by block through the worker threads. */
import { BLOCK_BYTES, BlockSequence } from './block-sequence.js';
import type { Ingested } from './large-file.js';
import type { Run } from './run.js';

/** The parts of `stream`; throws the signal's reason as soon as it fires, even when no part comes. */
async function* untilAborted(stream: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const parts = stream[Symbol.asyncIterator]();
  try {
    for (;;) {
      signal?.throwIfAborted();
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        const abort = (): void => reject(signal?.reason);
        signal?.addEventListener('abort', abort, { once: true });
        parts
          .next()
          .then(resolve, reject)
          .finally(() => signal?.removeEventListener('abort', abort));
      });
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    // Not awaited: it stands behind a next() that may never come.
    Promise.resolve(parts.return?.()).catch(() => undefined);
  }
}

/** Reads a stream to its end. @throws the stream's error */
export async function ingestStream(
  run: Run,
  stream: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
  onBytes: (bytes: number) => void,
): Promise<Ingested> {
  const sequence = new BlockSequence(run, true);
  const avgBits = 16;
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  const send = async (last: boolean): Promise<void> => {
    const block = new Uint8Array(waitingBytes);
    let to = 0;
    for (const part of waiting) {
      block.set(part, to);
      to += part.byteLength;
    }
    // The worker gets a copy, because what it does not cut comes back to the front of the next block.
    const consumed = await sequence.block({ fd: -1, data: block.slice() }, 0, block.byteLength, last, avgBits);
    onBytes(consumed);
    waiting = consumed < block.byteLength ? [block.subarray(consumed)] : [];
    waitingBytes = block.byteLength - consumed;
  };
  try {
    for await (const part of untilAborted(stream, signal)) {
      waiting.push(part);
      waitingBytes += part.byteLength;
      while (waitingBytes >= BLOCK_BYTES) await send(false);
    }
    while (waitingBytes > 0) await send(true);
    const { content, digest } = await sequence.finish();
    return { sizeBytes: sequence.sizeBytes, digest, content, packs: sequence.uses(), changed: false };
  } catch (error) {
    await sequence.abandon();
    throw error;
  }
}
