/** Who may run what: claims by name and by name@version. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type Bench,
  claimIds,
  claimTurn,
  openStore,
  ownedBy,
  register,
  run,
  running,
  startAll,
  twoWorkers,
} from "./bench.ts";
import { continuedAsNew, HOUR, message, start, START, timer, turnClaim } from "./builders.ts";

export function capabilities(bench: Bench): void {
  describe("capabilities", () => {
    test("claimTurns() hands an instance whose version is open to whoever has the name", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "a");

      assert.deepEqual(await claimIds(store, anna, { orchestrations: ["order@1"] }), []);
      assert.deepEqual(await claimIds(store, anna, { orchestrations: ["order"] }), ["a"]);
    });

    test("claimTurns() hands an instance that was started with a version to whoever has this version", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, start("a", { version: "2" }));

      assert.deepEqual(await claimIds(store, anna, { orchestrations: ["order", "order@1"] }), []);
      assert.deepEqual(await claimIds(store, anna, { orchestrations: ["order@2"] }), ["a"]);
    });

    test("claimTurns() hands a pinned instance only to whoever has its version", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ version: "1", keep: false }));
      await store.sendMessages([message("a", "more")]);

      assert.deepEqual(await claimIds(store, anna, { orchestrations: ["order", "order@2"] }), []);
      assert.deepEqual(await claimIds(store, anna, { orchestrations: ["order@1"] }), ["a"]);
    });

    test("claimTurns() hands even its owner only what the claim asks for", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ version: "1" }));
      await store.sendMessages([message("a", "more")]);

      assert.deepEqual(await claimIds(store, anna, { orchestrations: ["order"] }), []);
    });

    test("claimTurns() leaves alone what the claim leaves to others, as long as nobody owns it", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const leave = ["order@1"];
      await running(store, anna, "own", () => ({ version: "1" }));
      await running(store, anna, "message", () => ({ version: "1", keep: false }));
      await running(store, anna, "due", () => ({ version: "1", keep: false, timers: [timer(2, START)] }));
      await running(store, ben, "orphan", () => ({ version: "1", unsettled: true }));
      await running(store, ben, "message of ben", () => ({ version: "1" }));
      await startAll(store, "new");
      await store.sendMessages(["own", "message", "message of ben"].map((id) => message(id, "more")));
      await store.releaseWorker(ben);

      assert.deepEqual((await claimIds(store, anna, { leave })).toSorted(), ["new", "own"]);
      assert.deepEqual((await claimIds(store, anna)).toSorted(), [
        "due",
        "message",
        "message of ben",
        "new",
        "orphan",
        "own",
      ]);
      assert.equal(
        (await claimIds(store, anna, { leave })).length,
        5,
        "they are its own now, and only the orphan has no message",
      );
    });

    test("claimTurns() takes an unsettled instance over only with its version", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await running(store, anna, "a", () => ({ version: "1", unsettled: true }));
      await store.releaseWorker(anna);

      assert.deepEqual(await claimIds(store, ben, { orchestrations: ["order"] }), []);
      assert.deepEqual(await claimIds(store, ben, { orchestrations: ["order@1"] }), ["a"]);
    });

    test("claimTurns() for no orchestrations hands out nothing", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await startAll(store, "a");

      assert.deepEqual(await claimIds(store, anna, { orchestrations: [] }), []);
    });

    test("claimTurns() for many orchestrations hands out all of them", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const names = Array.from({ length: 1_500 }, (_, index) => `orchestration-${index}`);
      await startAll(store, start("first", { name: "orchestration-0" }), start("last", { name: "orchestration-1499" }));

      assert.deepEqual(await claimIds(store, anna, { orchestrations: names }), ["first", "last"]);
    });

    test("claimTurns() compares names as they are", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const names = ["order", "Order", "orders", "ord_r", "ord%", "bestellung-ä", "order 2"];
      await startAll(store, ...names.map((name) => start(`of ${name}`, { name })));

      for (const name of ["ord%", "ord_r", "Order", "bestellung-ä", "order"]) {
        assert.deepEqual(await claimIds(store, anna, { orchestrations: [name] }), [`of ${name}`]);
      }
    });

    test("instances of other names and versions neither block nor are taken", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      const strangers = Array.from({ length: 50 }, (_, index) => start(`stranger-${index}`, { name: "other" }));
      const newer = Array.from({ length: 50 }, (_, index) => start(`newer-${index}`, { version: "2" }));
      await startAll(store, ...strangers, ...newer, "mine");

      assert.deepEqual(await claimIds(store, anna, { max: 1 }), ["mine"]);
      assert.equal((await claimIds(store, ben, { orchestrations: ["other", "order@2"] })).length, 100);
    });

    test("due timers of other names and versions neither block nor are taken", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      for (let index = 0; index < 20; index++) {
        await running(store, anna, `newer-${index}`, () => ({
          version: "2",
          timers: [timer(2, START + 1)],
          keep: false,
        }));
      }
      await running(store, anna, "mine", () => ({ timers: [timer(2, START + 2)], keep: false }));

      assert.deepEqual(await claimIds(store, anna, { max: 1, now: START + HOUR }), ["mine"]);
      assert.equal((await claimIds(store, ben, { orchestrations: ["order@2"], now: START + HOUR })).length, 20);
    });

    test("claimTurns() that skips an instance does not count as an attempt", async (t) => {
      const { store, anna, ben } = await twoWorkers(bench, t);
      await startAll(store, "a");
      await claimIds(store, anna, { orchestrations: ["other"] });

      assert.equal((await claimTurn(store, ben)).attempts, 1);
    });

    test("claims with different capabilities at the same time share no instance", async (t) => {
      const store = await openStore(bench, t);
      const ids = Array.from({ length: 40 }, (_, index) => `i-${index}`);
      await startAll(store, ...ids.map((id, index) => start(id, { name: ["x", "y"][index % 2] ?? "x" })));
      const workers = await Promise.all(["anna", "ben", "carl"].map((name) => register(store, name)));
      const wanted = [["x"], ["y"], ["x", "y"]];

      const claimed = await Promise.all(
        workers.map((worker, index) => store.claimTurns(turnClaim(worker, { orchestrations: wanted[index] ?? [] }))),
      );

      const seen = claimed.flat().map(({ instanceId }) => instanceId);
      assert.deepEqual(seen.sort(), ids.sort());
      claimed.forEach((turns, index) => {
        for (const { name } of turns) assert.ok(wanted[index]?.includes(name));
      });
    });

    test("a version stays pinned by commits that do not name one", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ version: "1" }));
      await run(store, anna, turn);
      await store.sendMessages([message("a", "more")]);

      assert.equal((await claimTurn(store, anna, { orchestrations: ["order@1"] })).version, "1");
    });

    test("each execution is pinned to the version that its first turn names", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      const turn = await running(store, anna, "a", () => ({ version: "1" }));
      await run(store, anna, turn, { history: continuedAsNew(turn), version: "2" });
      await store.sendMessages([message("a", "more")]);

      assert.deepEqual(await claimIds(store, anna, { orchestrations: ["order", "order@1"] }), []);
      const next = await claimTurn(store, anna, { orchestrations: ["order@2"] });
      assert.deepEqual([next.execution, next.version], [2, "2"]);
    });

    test("a claim hands out instances of several names and versions together", async (t) => {
      const { store, anna } = await twoWorkers(bench, t);
      await ownedBy(store, anna, "pinned");
      await store.releaseWorker(anna);
      await startAll(store, start("open", { name: "invoice" }), start("asked", { version: "3" }));

      const carl = await register(store, "carl");
      const orchestrations = ["invoice", "order", "order@3"];
      assert.deepEqual(await claimIds(store, carl, { orchestrations }), ["asked", "open", "pinned"]);
    });
  });
}
