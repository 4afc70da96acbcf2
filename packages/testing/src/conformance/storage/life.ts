/** Opening and closing. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Bench, needsTwoHandles, recordOf, refuses, register, startAll } from "./bench.ts";
import { instanceQuery, message, START, turnClaim, workClaim } from "./builders.ts";

export function life(bench: Bench): void {
  describe("opening and closing", () => {
    test("a provider has a name", async () => {
      const store = await bench.fresh();

      assert.notEqual(store.name, "");
    });

    test("open() of a fresh store opens an empty one", async () => {
      const store = await bench.fresh();
      await store.open();

      assert.deepEqual(await store.admin.listInstances(instanceQuery()), { rows: [] });
      assert.deepEqual(await store.listWorkers(START), []);

      await store.close();
    });

    test("open() may be called again, and only the last close() closes", async () => {
      const store = await bench.fresh();
      await store.open();
      await store.open();
      await store.open();
      await startAll(store, "a");
      await store.close();
      await store.close();

      assert.equal((await recordOf(store, "a")).status, "pending");

      await store.close();
    });

    test("a closed store refuses every verb", async () => {
      const store = await bench.fresh();
      await store.open();
      const anna = await register(store, "anna");
      await store.close();

      const verbs: readonly (() => Promise<unknown>)[] = [
        () => register(store, "ben"),
        () => store.heartbeat({ worker: anna, now: START, work: [] }),
        () => store.listWorkers(START),
        () => store.claimTurns(turnClaim(anna)),
        () => store.claimWork(workClaim(anna)),
        () => store.startInstances([{ instanceId: "a", name: "order", body: "go", at: START }]),
        () => store.sendMessages([message("a", "1")]),
        () => store.nextWakeAt(START),
        () => store.admin.getInstances(["a"]),
        () => store.admin.listInstances(instanceQuery()),
        () => store.admin.stats(START),
        () => store.admin.deleteTree("a", true),
      ];
      for (const verb of verbs) assert.ok(await refuses(verb), `Expected a closed store to refuse ${String(verb)}.`);
    });

    test("what was written is there when the store is opened again", needsTwoHandles(bench), async () => {
      const first = await bench.fresh();
      await first.open();
      await startAll(first, "a");
      await first.sendMessages([message("a", "more")]);
      await first.close();

      const second = await bench.another?.(first);
      assert.ok(second);
      await second.open();
      const anna = await register(second, "anna");
      const [turn] = await second.claimTurns(turnClaim(anna));
      assert.deepEqual(
        turn?.messages.map(({ body }) => body),
        ["start of a", "more"],
      );
      await second.close();
    });

    test("two handles may open a fresh store at the same time", needsTwoHandles(bench), async () => {
      const first = await bench.fresh();
      const handles = [first];
      for (let count = 0; count < 3; count++) handles.push((await bench.another?.(first)) ?? assert.fail());

      await Promise.all(handles.map((store) => store.open()));
      await Promise.all(handles.map((store, index) => startAll(store, `i-${index}`)));

      for (const store of handles) {
        assert.equal((await store.admin.listInstances(instanceQuery())).rows.length, handles.length);
        await store.close();
      }
    });

    test("close() of one handle leaves the others open", needsTwoHandles(bench), async () => {
      const first = await bench.fresh();
      const second = await bench.another?.(first);
      assert.ok(second);
      await first.open();
      await second.open();
      await first.close();

      await startAll(second, "a");

      assert.equal((await recordOf(second, "a")).status, "pending");
      await second.close();
    });
  });
}
