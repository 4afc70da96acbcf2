/** `stet replay`: old histories against new code, from a store and from files, for people, scripts and CI. */
import assert from "node:assert/strict";
import { symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { UpgradeReport } from "@stet/replay";
import { exitCodes } from "stet";
import { orchestration, Runtime, activity } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { until } from "../chaos/until.ts";
import { newFolder } from "../runtime/world.ts";
import { json, plain, type } from "./terminal.ts";

const core = import.meta.resolve("@stet/core");

const before = orchestration("ship", async (ctx, order: string) => {
  await ctx.activity("charge", order);
  await ctx.waitForEvent("packed");
});

const sourceOf = (...lines: readonly string[]) =>
  [
    `import { orchestration } from ${JSON.stringify(core)};`,
    `export const ship = orchestration("ship", async (ctx, order: string) => {`,
    ...lines.map((line) => `  ${line}`),
    `});`,
    ``,
  ].join("\n");

/** A folder with a store of three instances that wait, and code that fits, and code that does not. */
async function makeProject(): Promise<string> {
  const cwd = newFolder();
  const runtime = await Runtime.start({
    storage: sqlite(join(cwd, "orders.db")),
    orchestrations: [before],
    activities: [activity("charge", async () => "charged")],
  });
  for (const id of ["T-1", "T-2", "T-3"]) {
    const handle = await runtime.startOrchestration(before, id, { instanceId: id });
    await until(`${id} waits`, async () => (await handle.status()).waitingFor.some(({ kind }) => kind === "event"));
  }
  await runtime.shutdown();
  writeFileSync(
    join(cwd, "fits.ts"),
    sourceOf(`await ctx.activity("charge", order);`, `await ctx.waitForEvent("packed");`),
  );
  writeFileSync(
    join(cwd, "differs.ts"),
    sourceOf(`await ctx.activity("charge", order);`, `await ctx.activity("pack", order);`),
  );
  writeFileSync(
    join(cwd, "stet.config.ts"),
    `import { ship } from "./fits.ts";\nexport default { storage: "sqlite:orders.db", orchestrations: [ship] };\n`,
  );
  return cwd;
}

test("replay() says of a store that the code of the project can take over", async () => {
  const cwd = await makeProject();

  const all = await type(["replay", "--all"], { cwd });
  const one = json<UpgradeReport>(await type(["replay", "T-2", "--json"], { cwd }));
  const none = await type(["replay", "--all", "--status", "completed"], { cwd });
  const missing = await type(["replay", "T-9"], { cwd });

  assert.deepEqual(all, {
    code: exitCodes.ok,
    stdout: "ORCHESTRATION  IDENTICAL\nship@1         3\n\nthis code can take over\n",
    stderr: "",
  });
  assert.deepEqual(
    one.histories.map(({ instanceId, verdict }) => [instanceId, verdict]),
    [["T-2", "identical"]],
  );
  assert.equal(none.stdout, "no histories\n");
  assert.equal(missing.code, exitCodes.instance);
});

test("replay() says where new code parts from what was recorded, and what to do, and fails", async () => {
  const cwd = await makeProject();

  const replayed = await type(["replay", "--all", "--since", "1d", "--module", "differs.ts"], { cwd, columns: 200 });
  const report = await type(["replay", "--all", "--module", "differs.ts", "--json"], { cwd });

  assert.equal(replayed.code, exitCodes.bad);
  assert.equal(report.code, exitCodes.bad);
  const { findings } = json<UpgradeReport>(report);
  assert.ok(findings[0]?.finding === "diverged");
  const { at } = findings[0].divergence;
  assert.match(at?.file ?? "", /differs\.ts$/);
  assert.deepEqual([at?.line, at?.column], [4, 13]);
  const where = `${at?.file}:4`;
  assert.equal(
    plain(replayed.stdout),
    `ORCHESTRATION  DIVERGED
ship@1         3

diverged ship@1  3 (3 open): T-3, T-2, T-1
  event 4: kind differs at ${where}:13
  recorded EventAwaited(name packed)
  today    ActivityScheduled(name pack, input T-1)
  either mark the change, in ${where}:9:
  -ctx.activity("pack", order)
  +(ctx.patched("packed-to-pack") ? ctx.activity("pack", order) : ctx.waitForEvent("packed"))
  or Keep the code of before registered as orchestration("ship", { version: "1" }, ...), and give today's code version "2".

this code cannot take over everywhere
`.replace("input T-1", "input T-3"),
  );
  assert.match(plain(replayed.stderr), /3 histories/);
});

test("replay() reads capsules and histories from files, without a store", async () => {
  const cwd = await makeProject();
  writeFileSync(join(cwd, "capsule.json"), (await type(["export", "T-1"], { cwd })).stdout);
  writeFileSync(join(cwd, "T-1.json"), (await type(["history", "T-1", "--json"], { cwd })).stdout);
  writeFileSync(join(cwd, "torn.json"), "{");

  for (const file of ["capsule.json", "T-1.json"]) {
    const fits = await type(["replay", file, "--module", "fits.ts", "-s", "sqlite:nowhere.db"], { cwd });
    const differs = await type(["replay", file, "--module", "differs.ts", "-s", "sqlite:nowhere.db"], { cwd });
    assert.deepEqual([fits.code, differs.code], [exitCodes.ok, exitCodes.bad], fits.stderr + differs.stdout);
  }
  const torn = await type(["replay", "torn.json"], { cwd });
  assert.equal(torn.code, exitCodes.usage);
});

test("replay() lists the branches of the source that no history has taken", async () => {
  const cwd = await makeProject();
  symlinkSync(join(import.meta.dirname, "../../node_modules"), join(cwd, "node_modules"));
  writeFileSync(
    join(cwd, "fits.ts"),
    sourceOf(
      `await ctx.activity("charge", order);`,
      `if (order === "T-0") await ctx.activity("wrap", order);`,
      `await ctx.waitForEvent("packed");`,
    ).replace(JSON.stringify(core), `"@stet/core"`),
  );
  const stet = { diagrams: { include: ["fits.ts"] } };
  writeFileSync(join(cwd, "package.json"), JSON.stringify({ type: "module", stet }));

  const replayed = await type(["replay", "--all", "--coverage"], { cwd });
  const told = json<{ coverage: object[] }>(await type(["replay", "--all", "--coverage", "--json"], { cwd }));

  assert.equal(replayed.code, exitCodes.ok, replayed.stderr);
  assert.match(
    replayed.stdout,
    /this code can take over\n\nship@1 {2}1 of 2 branches taken by 3 histories\n {2}never order === "T-0": yes {2}fits\.ts:4\n$/,
  );
  const at = { file: "fits.ts", line: 4, column: 7 };
  assert.deepEqual(told.coverage, [
    {
      orchestration: "ship",
      version: "1",
      followed: 3,
      strayed: 0,
      branches: 2,
      untaken: [{ at, from: `order === "T-0"`, way: "yes" }],
    },
  ]);
});

test("replay() refuses what it cannot make sense of", async () => {
  const cwd = await makeProject();
  writeFileSync(join(cwd, "empty.ts"), "export const nothing = 1;\n");

  const nothing = await type(["replay"], { cwd });
  const both = await type(["replay", "T-1", "--all"], { cwd });
  const empty = await type(["replay", "--all", "--module", "empty.ts"], { cwd });

  assert.deepEqual([nothing.code, both.code, empty.code], [exitCodes.usage, exitCodes.usage, exitCodes.usage]);
  assert.match(empty.stderr, /Expected empty\.ts to have orchestrations, got none/);
});
