/**
 * The stores of a simulation. To open one takes longer than a run, so what a sound run leaves behind is deleted and the
 * store used again.
 */
import { Client, type StorageProvider } from "@stet/core";

/** See the head of the file. */
export class Stores {
  readonly #make: () => StorageProvider;
  readonly #empty: StorageProvider[] = [];

  constructor(make: () => StorageProvider) {
    this.#make = make;
  }

  /** Runs something on an empty store. */
  async use<Result>(run: (store: StorageProvider) => Promise<Result>): Promise<Result> {
    const store = this.#empty.pop() ?? (await opened(this.#make()));
    try {
      const result = await run(store);
      await empty(store);
      this.#empty.push(store);
      return result;
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    for (const store of this.#empty.splice(0)) await store.close();
  }
}

async function opened(store: StorageProvider): Promise<StorageProvider> {
  await store.open();
  return store;
}

async function empty(store: StorageProvider): Promise<void> {
  for (const { key } of await store.listWorkers(0)) await store.releaseWorker(key);
  const client = await Client.connect({ storage: store });
  for (let more = true; more;) {
    const { instances, cursor } = await client.list({ limit: 1000 });
    for (const { instanceId, parentId } of instances) {
      if (parentId === undefined) await client.delete(instanceId, { force: true });
    }
    more = cursor !== undefined;
  }
  await client.close();
}
