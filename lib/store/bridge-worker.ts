/** The thread that answers for a vault's store: its own connection, requests from shared memory, answers into it. Runs until it is terminated. */
import { parentPort, workerData } from 'node:worker_threads';
import { NotFoundError } from '../errors.js';
import { type Asked, answerBridge, DATA_BYTES, describe, Status } from './bridge.js';
import { openVaultAt, type VaultStore } from './vault.js';
import { refOfName } from './vault-protocol.js';
import type { VaultPlace } from './vault-transport.js';

export interface BridgeStart {
  readonly memory: SharedArrayBuffer;
  readonly place: VaultPlace;
}

/** How long it is remembered that a chain has not grown: every serving thread asks every chain for its next entry all the time. */
const HEADS_MS = 2000;

class Answers {
  readonly #place: VaultPlace;
  #store: Promise<VaultStore> | undefined;
  #heads: Promise<Map<string, number>> | undefined;
  #headsAt = 0;

  constructor(place: VaultPlace) {
    this.#place = place;
  }

  async serve({ operation, name, offset, length, answer }: Asked): Promise<void> {
    try {
      this.#store ??= openVaultAt(this.#place);
      const store = await this.#store;
      if (operation === 'size') {
        const info = await store.stat(name);
        return info === undefined ? answer(Status.missing, 0) : answer(Status.ok, info.sizeBytes);
      }
      if (operation === 'read') {
        const bytes = await store.get(name, { offset, length });
        return answer(Status.ok, bytes.byteLength, bytes);
      }
      if (await this.#isBeyond(store, name)) return answer(Status.missing, 0);
      const bytes = await store.get(name);
      return bytes.byteLength <= DATA_BYTES
        ? answer(Status.ok, bytes.byteLength, bytes)
        : answer(Status.tooBig, bytes.byteLength);
    } catch (error) {
      if (error instanceof NotFoundError) return answer(Status.missing, 0);
      // A connection that was never made is tried again.
      if (this.#store !== undefined) await this.#store.catch(() => (this.#store = undefined));
      const text = describe(error);
      answer(Status.failed, text.byteLength, text);
    }
  }

  /** Whether `name` is that of an entry which its chain did not have a moment ago. */
  async #isBeyond(store: VaultStore, name: string): Promise<boolean> {
    const ref = refOfName(name);
    if (ref?.kind !== 'entry') return false;
    if (performance.now() - this.#headsAt > HEADS_MS) {
      this.#headsAt = performance.now();
      this.#heads = store.heads();
      this.#heads.catch(() => {
        this.#headsAt = 0;
      });
    }
    return ref.sequence >= ((await this.#heads)?.get(ref.id) ?? 0);
  }
}

const { memory, place } = workerData as BridgeStart;
const answers = new Answers(place);
// Keeps the thread alive between requests; whoever made it terminates it.
parentPort?.on('message', () => undefined);
void answerBridge(memory, (asked) => void answers.serve(asked));
