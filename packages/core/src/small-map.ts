/**
 * A map for few entries: an empty one costs nothing, and the first entry needs no table. Turns and executions have many
 * such maps and mostly one entry in one of them, and a `Map` whose last entry is deleted makes its table anew.
 */
export class SmallMap<Key, Value> {
  #only: [Key, Value] | undefined;
  /** All entries, from the second on. */
  #map: Map<Key, Value> | undefined;

  get size(): number {
    return this.#map === undefined ? (this.#only === undefined ? 0 : 1) : this.#map.size;
  }

  has(key: Key): boolean {
    return this.#map === undefined ? this.#only !== undefined && this.#only[0] === key : this.#map.has(key);
  }

  get(key: Key): Value | undefined {
    if (this.#map !== undefined) return this.#map.get(key);
    return this.#only !== undefined && this.#only[0] === key ? this.#only[1] : undefined;
  }

  set(key: Key, value: Value): void {
    if (this.#map !== undefined) this.#map.set(key, value);
    else if (this.#only === undefined || this.#only[0] === key) this.#only = [key, value];
    else {
      this.#map = new Map([this.#only, [key, value]]);
      this.#only = undefined;
    }
  }

  delete(key: Key): boolean {
    if (this.#map !== undefined) return this.#map.delete(key);
    if (this.#only === undefined || this.#only[0] !== key) return false;
    this.#only = undefined;
    return true;
  }

  clear(): void {
    this.#only = undefined;
    this.#map = undefined;
  }

  [Symbol.iterator](): IterableIterator<[Key, Value]> {
    if (this.#map !== undefined) return this.#map[Symbol.iterator]();
    return (this.#only === undefined ? none : [this.#only])[Symbol.iterator]();
  }
}

const none: readonly never[] = [];
