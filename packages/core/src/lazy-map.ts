/**
 * A map that costs nothing until something is put into it. Turns have several, and most stay empty.
 */
export class LazyMap<Key, Value> {
  #map: Map<Key, Value> | undefined;

  get size(): number {
    return this.#map?.size ?? 0;
  }

  has(key: Key): boolean {
    return this.#map?.has(key) ?? false;
  }

  get(key: Key): Value | undefined {
    return this.#map?.get(key);
  }

  set(key: Key, value: Value): void {
    (this.#map ??= new Map()).set(key, value);
  }

  delete(key: Key): boolean {
    return this.#map?.delete(key) ?? false;
  }

  [Symbol.iterator](): IterableIterator<[Key, Value]> {
    return (this.#map ?? nothing)[Symbol.iterator]() as IterableIterator<[Key, Value]>;
  }
}

const nothing: readonly never[] = [];
