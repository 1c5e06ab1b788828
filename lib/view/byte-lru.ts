/** A map that forgets what was used longest ago once its values weigh more than a limit in bytes. The newest value always stays. */

export class ByteLru<K, V> {
  readonly #limitBytes: number;
  readonly #items = new Map<K, { readonly value: V; readonly bytes: number }>();
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get(key: K): V | undefined {
    const item = this.#items.get(key);
    if (item === undefined) return undefined;
    this.#items.delete(key);
    this.#items.set(key, item);
    return item.value;
  }

  set(key: K, value: V, bytes: number): void {
    this.delete(key);
    this.#items.set(key, { value, bytes });
    this.#bytes += bytes;
    for (const [oldest, item] of this.#items) {
      if (this.#bytes <= this.#limitBytes || oldest === key) break;
      this.#items.delete(oldest);
      this.#bytes -= item.bytes;
    }
  }

  delete(key: K): void {
    const item = this.#items.get(key);
    if (item === undefined) return;
    this.#items.delete(key);
    this.#bytes -= item.bytes;
  }

  get bytes(): number {
    return this.#bytes;
  }
}
