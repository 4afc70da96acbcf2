/**
 * Moving a whole store into another: what is moved goes on there as after the death of its worker. First everything is
 * copied, then it is compared, and only then the source is emptied, so until the last step there is nothing to undo, and
 * whoever was interrupted calls again.
 */
import { digestOf } from "./capsule.ts";
import { deadAfterMs } from "./client.ts";
import { ConfigurationError, InstanceError } from "./errors.ts";
import type { StorageProvider } from "./storage.ts";
import type { Page, StoredTree } from "./storage-admin.ts";

/** What {@link promote} is given. */
export interface PromoteOptions {
  /** The store that is emptied. */
  readonly from: StorageProvider;
  /** The store that everything goes to. It may hold other instances. */
  readonly to: StorageProvider;
}

/** What was moved. */
export interface Promoted {
  readonly instances: number;
  /** Answers of models that were kept for whoever asks the same again. */
  readonly answers: number;
}

/** Trees that are on their way at the same time, and instances and answers that are looked at together. */
const atOnce = 8;
const pageSize = 500;

/**
 * Moves all instances of a store into another, with histories, timers, waits, work, inboxes, streams, budgets and kept
 * answers. Stop all workers and clients of both stores first; start them on the new one when this has ended. When it is
 * interrupted, call it again.
 *
 * @example
 * ```ts fragment
 * await promote({ from: sqlite("tickets.db"), to: postgres({ url: "postgres://localhost/tickets" }) });
 * ```
 * @throws ConfigurationError while a worker of either store is alive, or when something in the source changes meanwhile.
 * @throws InstanceError (`instance_exists`) when the new store has another instance of the same id. Nothing is removed then.
 */
export async function promote({ from, to }: PromoteOptions): Promise<Promoted> {
  await from.open();
  try {
    await to.open();
    try {
      await retireWorkers(from, "source");
      await retireWorkers(to, "target");
      const { roots, instances } = await rootsOf(from);
      await eachOf(roots, (id) => copy(id, from, to));
      const answers = await copyAnswers(from, to);
      await retireWorkers(from, "source");
      await eachOf(roots, (id) => remove(id, from, to));
      return { instances, answers };
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

/** Nobody may own anything: who lives is in the way, and who is dead stays so, even if it was only stopped. */
async function retireWorkers(store: StorageProvider, which: string): Promise<void> {
  for (const { key, name, silentForMs } of await store.listWorkers(Date.now())) {
    if (silentForMs < deadAfterMs) {
      throw new ConfigurationError(
        `Expected the ${which} of a promotion to have no worker, got ${name}, which was alive ${silentForMs} ms ago: shut it down, or wait until it is dead for ${deadAfterMs} ms`,
      );
    }
    await store.releaseWorker(key);
  }
}

async function rootsOf({ admin }: StorageProvider): Promise<{ roots: string[]; instances: number }> {
  const roots: string[] = [];
  let instances = 0;
  for await (const rows of pagesOf((query) => admin.listInstances(query))) {
    for (const { instanceId, rootId } of rows) if (instanceId === rootId) roots.push(instanceId);
    instances += rows.length;
  }
  return { roots: roots.reverse(), instances }; // in the order in which they were made
}

async function copy(id: string, from: StorageProvider, to: StorageProvider): Promise<void> {
  const tree = await treeOf(id, from);
  if (tree === undefined || (await to.admin.importTree(tree)) === "imported") return;
  if (await isSame(tree, to)) return; // a promotion that was interrupted got that far
  const [there] = await to.admin.getInstances(tree.instances.map(({ instanceId }) => instanceId));
  throw new InstanceError(
    "instance_exists",
    `Expected none of instance ${id} and those below it to exist in the target of a promotion, got another ${there?.instanceId ?? id}: delete one of the two`,
  );
}

async function copyAnswers(from: StorageProvider, to: StorageProvider): Promise<number> {
  let count = 0;
  for await (const answers of pagesOf((query) => from.admin.exportAnswers(query))) {
    await to.admin.importAnswers(answers);
    count += answers.length;
  }
  return count;
}

async function remove(id: string, from: StorageProvider, to: StorageProvider): Promise<void> {
  const tree = await treeOf(id, from);
  if (tree === undefined) return;
  if (!(await isSame(tree, to))) {
    throw new ConfigurationError(
      `Expected instance ${id} and all below it to stay as they were while they are moved, got a change: stop all that use the two stores, delete ${id} in the target, and call promote() again`,
    );
  }
  await from.admin.deleteTree(id, true);
}

async function isSame(tree: StoredTree, { admin }: StorageProvider): Promise<boolean> {
  const there = await admin.exportTree(tree.instances[0]!.instanceId);
  return typeof there !== "string" && digestOf(there) === digestOf(tree);
}

/** Undefined when it has been removed. */
async function treeOf(id: string, { admin }: StorageProvider): Promise<StoredTree | undefined> {
  const tree = await admin.exportTree(id);
  return typeof tree === "string" ? undefined : tree;
}

async function* pagesOf<Row>(
  read: (query: { readonly limit: number; readonly cursor?: string }) => Promise<Page<Row>>,
): AsyncGenerator<readonly Row[]> {
  let page = await read({ limit: pageSize });
  yield page.rows;
  while (page.cursor !== undefined) {
    page = await read({ limit: pageSize, cursor: page.cursor });
    yield page.rows;
  }
}

async function eachOf(ids: readonly string[], body: (id: string) => Promise<void>): Promise<void> {
  for (let i = 0; i < ids.length; i += atOnce) await Promise.all(ids.slice(i, i + atOnce).map(body));
}
