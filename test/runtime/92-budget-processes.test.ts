/** A budget whose workers are killed in the middle of their calls. */
import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Client } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { until } from "../chaos/until.ts";
import { shared } from "./shared-budget.ts";
import { newFolder, ofKind } from "./world.ts";

const limits = { calls: 12, tokens: 900 };
const tokensPerCall = 40;

/** A worker whose model has been asked so often, and answers as often as it is told to. */
function worker(t: TestContext, path: string) {
  const child = fork(fileURLToPath(new URL("budget-process.ts", import.meta.url)), [path]);
  let asked = 0;
  child.on("message", () => asked++);
  t.after(() => child.kill("SIGKILL"));
  return {
    asked: () => asked,
    answer: (count: number) => child.send(count),
    async kill() {
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

async function budgetOf(client: Client) {
  return (await client.budget("all")) ?? assert.fail();
}

async function answersIn(client: Client): Promise<number> {
  let answers = 0;
  for (const { instanceId } of await client.tree("all")) {
    answers += ofKind(await client.instance(instanceId).history(), "LlmCompleted").length;
  }
  return answers;
}

test("kill -9 in the middle of calls: what is spent is what is recorded, and the limit holds", async (t) => {
  const path = join(newFolder(), "app.db");
  const client = await Client.connect({ storage: sqlite(path) });
  t.after(() => client.close());
  const run = await client.startOrchestration(shared.all, undefined, { instanceId: "all", budget: limits });

  for (const answers of [2, 2, 0]) {
    const victim = worker(t, path);
    const told = answers + answers / 2;
    await until("more calls to be under way than are answered", () => victim.asked() > told);
    const before = (await budgetOf(client)).spent.calls;
    victim.answer(answers);
    await until("answers to be recorded", async () => (await budgetOf(client)).spent.calls >= before + answers);
    victim.answer(told - answers); // recorded or not: it is killed meanwhile
    await victim.kill();
    const { spent, reserved } = await budgetOf(client);
    const recorded = await answersIn(client);
    assert.deepEqual([spent.calls, spent.tokens], [recorded, recorded * tokensPerCall]);
    assert.ok(reserved.calls > 0 && spent.calls + reserved.calls <= limits.calls, `${reserved.calls} reserved`);
    assert.ok(spent.tokens + reserved.tokens <= limits.tokens, `${reserved.tokens} reserved`);
  }

  const last = worker(t, path);
  last.answer(100);
  await until("the budget to be used up", async () => {
    const { spent, reserved } = await budgetOf(client);
    return spent.calls === limits.calls && reserved.calls === 0;
  });
  assert.equal(await answersIn(client), limits.calls);
  await client.topUp("all", { calls: 8 });
  assert.equal(await run.result(), 20);
  const { spent, reserved } = await budgetOf(client);
  assert.deepEqual([spent.calls, spent.tokens, await answersIn(client)], [20, 20 * tokensPerCall, 20]);
  assert.deepEqual(reserved, { tokens: 0, usd: 0, calls: 0 });
});
