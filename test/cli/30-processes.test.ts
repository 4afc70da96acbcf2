/** Commands that run until they are stopped, as processes, on sqlite and postgres: `worker` and `dev`. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { exitCodes } from "stet";
import { until } from "../chaos/until.ts";
import { root } from "../docs/blocks.ts";
import { makeProject } from "./project.ts";
import { kindsOfStores } from "./stores.ts";
import { type } from "./terminal.ts";

/** Its activity says that it has begun, and goes on when it may. */
const slowProject = {
  "stet.config.ts": `
    import { existsSync, writeFileSync } from "node:fs";
    import { setTimeout as sleep } from "node:timers/promises";
    import { activity, orchestration } from "@stet/core";
    import { defineConfig } from "stet";

    const slow = activity("slow", async () => {
      writeFileSync("begun", "");
      while (!existsSync("may-end")) await sleep(20);
      return "slowly";
    });
    const work = orchestration("work", async (ctx) => ctx.activity(slow, undefined));

    export default defineConfig({ orchestrations: [work], activities: [slow] });
  `,
};

for (const [kind, makeStore] of Object.entries(kindsOfStores)) {
  test(`${kind}: a worker that is interrupted lets its activities end, records them, and ends well`, async (t) => {
    const { address } = makeStore();
    const cwd = makeProject(slowProject);
    const env = { STET_STORAGE: address };
    await type(["start", "work", "--id", "w-1"], { cwd, env });

    const worker = spawnStet(t, ["worker"], cwd, env);
    await until("the activity runs", () => existsSync(join(cwd, "begun")));
    worker.kill("SIGINT");
    await until("the worker drains", () => worker.printed.includes("draining"));
    writeFileSync(join(cwd, "may-end"), "");
    const [code] = (await once(worker, "exit")) as [number | null];

    assert.equal(code, exitCodes.ok, worker.printed);
    const { stdout } = await type(["history", "w-1"], { cwd, env });
    assert.match(stdout, /ActivityCompleted/);
  });
}

test("dev runs the code as it is saved, and tells what happens", async (t) => {
  const code = (text: string) => `
    import { activity } from "@stet/core";
    export const greet = activity("greet", async (_ctx, name: string) => ${JSON.stringify(text)} + name);
  `;
  const cwd = makeProject({
    "greet.ts": code("Hello "),
    "stet.config.ts": `
      import { orchestration } from "@stet/core";
      import { defineConfig } from "stet";
      import { greet } from "./greet.ts";
      const hello = orchestration("hello", async (ctx, name: string) => ctx.activity(greet, name));
      export default defineConfig({ storage: "sqlite:dev.db", orchestrations: [hello], activities: [greet] });
    `,
  });
  const interruption = new AbortController();
  t.after(() => interruption.abort());
  let printed = "";
  const dev = type(["dev"], { cwd, signal: interruption.signal, onPrint: (text) => (printed += text) });

  await until("the store is there", () => existsSync(join(cwd, "dev.db")));
  await type(["start", "hello", "-i", '"Ada"', "--id", "h-1"], { cwd });
  await until("the first has ended", () => /h-1 .*completed after/.test(printed));
  writeFileSync(join(cwd, "greet.ts"), code("Good evening "));
  await until("the new code answers", async () => {
    const id = `h-${Math.random()}`;
    const { stdout } = await type(["start", "hello", "-i", '"Ada"', "--id", id, "--watch"], { cwd });
    return stdout.includes("Good evening Ada");
  });
  writeFileSync(join(cwd, "greet.ts"), "export const greet = ;");
  interruption.abort();
  const { code: exitCode, stderr } = await dev;

  assert.equal(exitCode, exitCodes.ok, stderr);
  assert.match(printed, /h-1 .*activity greet {2}done in .*→ Hello Ada/);
  assert.match(stderr, /greet\.ts was saved: reloading/);
});

interface Spawned extends ChildProcess {
  /** All that it has printed, on both streams. */
  readonly printed: string;
}

/** The program as a process, from source. */
function spawnStet(t: TestContext, argv: readonly string[], cwd: string, env: { [name: string]: string }): Spawned {
  const bin = join(root, "packages/cli/src/bin.ts");
  const flags = ["--conditions=@stet/source", "--import", "tsx"];
  const child = spawn(process.execPath, [...flags, bin, ...argv], { cwd, env: { ...process.env, ...env } });
  t.after(() => child.kill("SIGKILL"));
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (printed += text));
  return Object.defineProperty(child, "printed", { get: () => printed }) as unknown as Spawned;
}
