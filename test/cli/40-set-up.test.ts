/** Setting up and looking after: init, doctor, migrate, completion, bench, and people's decisions; on sqlite and postgres. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { agent, definitionsOf } from "@stet/agent";
import { aesGcm, orchestration, Runtime, type RuntimeOptions } from "@stet/core";
import { callTool, mock } from "@stet/mock";
import { exitCodes } from "stet";
import { finish, fleet } from "../agent/world.ts";
import { newFolder } from "../runtime/world.ts";
import { makeProject } from "./project.ts";
import { kindsOfStores, sqliteStore, type Store } from "./stores.ts";
import { json, type } from "./terminal.ts";

interface Finding {
  readonly what: string;
  readonly verdict: string;
  readonly says: string;
  readonly fix?: string;
}

/** What the doctor says, by what it is about. */
async function examined(cwd: string, argv: readonly string[] = []) {
  const { code, stdout } = await type(["doctor", "--json", ...argv], { cwd });
  const findings = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Finding);
  return { code, findings: new Map(findings.map((finding) => [finding.what, finding])) };
}

async function working(t: TestContext, store: Store, options: Partial<RuntimeOptions>): Promise<Runtime> {
  const runtime = await Runtime.start({ storage: store.open(), workerName: "w", ...options });
  t.after(() => runtime.shutdown());
  return runtime;
}

const greet = orchestration("greet", async (_ctx, name: string) => `Hello ${name}`);

test("init() makes a project in an empty folder, and touches no other", async () => {
  const cwd = newFolder();

  const made = await type(["init", "shop"], { cwd });
  const again = await type(["init", "shop"], { cwd });

  assert.equal(made.code, exitCodes.ok, made.stderr);
  assert.deepEqual(readdirSync(join(cwd, "shop")).sort(), [
    ".gitignore",
    "README.md",
    "package.json",
    "src",
    "stet.config.ts",
    "test",
    "tsconfig.json",
  ]);
  assert.equal(again.code, exitCodes.usage);
  assert.match(again.stderr, /to be an empty folder/);
});

for (const [kind, makeStore] of Object.entries(kindsOfStores)) {
  test(`${kind}: a doctor finds nothing wrong where nothing is, and says which worker has what`, async (t) => {
    const store = makeStore();
    await working(t, store, { orchestrations: [greet] });
    await type(["start", "greet", "-i", '"Ada"', "--watch", "-s", store.address]);

    const { code, findings } = await examined(newFolder(), ["-s", store.address]);

    assert.equal(code, exitCodes.ok);
    assert.deepEqual(
      [...findings.values()].filter(({ verdict }) => verdict !== "good"),
      [],
    );
    assert.match(findings.get("worker w")?.says ?? "", /process \d+: owns nothing, has greet@1$/);
    assert.equal(findings.has("native module"), kind === "sqlite");
  });

  test(`${kind}: a doctor names missing handlers, blocked instances and absent workers`, async (t) => {
    const store = makeStore();
    const forgetful = orchestration("forgetful", async (ctx) => {
      await new Promise(() => ctx.now());
    });
    const silent = () => undefined;
    const runtime = await working(t, store, {
      orchestrations: [forgetful],
      logger: { debug: silent, info: silent, warn: silent, error: silent },
    });
    await type(["start", "forgetful", "--watch", "-s", store.address]);
    await runtime.shutdown();
    await type(["start", "nobodyKnowsMe", "-s", store.address]);

    const { code, findings } = await examined(newFolder(), ["-s", store.address]);

    assert.equal(code, exitCodes.bad);
    assert.equal(findings.get("workers")?.verdict, "warning");
    assert.match(findings.get("handlers")?.says ?? "", /nobodyKnowsMe/);
    assert.match(findings.get("blocked")?.fix ?? "", /stet list --status blocked/);
  });

  test(`${kind}: a decision reaches what waits for one`, async (t) => {
    const store = makeStore();
    const buy = orchestration("buy", async (ctx) => ctx.waitForEvent("approval"));
    await working(t, store, { orchestrations: [buy] });
    const around = { env: { USER: "grace", STET_STORAGE: store.address } };
    await type(["start", "buy", "--id", "b-1"], around);
    while (!(await type(["show", "b-1"], around)).stdout.includes("stet approve b-1")) await turn();

    const approved = await type(["approve", "b-1", "--reason", "it is cheap"], around);
    const watched = await type(["watch", "b-1"], around);
    const late = await type(["reject", "b-1"], around);

    assert.equal(approved.stdout, "approved approval of b-1\n");
    assert.match(watched.stdout, /completed .*\{"approved":true,"by":"grace","reason":"it is cheap"\}/);
    assert.equal(late.code, exitCodes.usage);
    assert.match(late.stderr, /to wait for a decision, got nothing/);
  });

  test(`${kind}: a person decides about the action of an agent`, async (t) => {
    const store = makeStore();
    const { log, tools } = fleet();
    const fixer = agent({ name: "fixer", instructions: "Repair.", tools, guardrails: { approval: ["restart_vm"] } });
    const llm = mock([callTool("restart_vm", { vm: "a" }), finish("success", "Restarted a.")]);
    await working(t, store, { llm, ...definitionsOf(fixer) });
    const env = { USER: "grace", STET_STORAGE: store.address };
    await type(["start", "fixer", "-i", '{"goal":"Fix a"}', "--id", "f-1"], { env });
    while (!(await type(["show", "f-1"], { env })).stdout.includes("stet approve f-1")) await turn();

    const wrong = await type(["approve", "f-1", "no-such-action"], { env });
    const approved = await type(["approve", "f-1"], { env });
    const watched = await type(["watch", "f-1"], { env });

    assert.equal(wrong.code, exitCodes.usage);
    assert.match(approved.stdout, /^approved 1-1-\w+ of f-1\n$/);
    assert.equal(watched.code, exitCodes.ok, watched.stdout);
    assert.deepEqual(log, ["restart_vm a"]);
  });

  test(`${kind}: an instance out of budget says what to do, and goes on when that is done`, async (t) => {
    const store = makeStore();
    const silent = () => undefined;
    const ask = orchestration("ask", { budget: { calls: 1 } }, async (ctx) => [
      await ctx.generate("one"),
      await ctx.generate("two"),
    ]);
    const llm = mock().on("generate", "yes");
    const logger = { debug: silent, info: silent, warn: silent, error: silent };
    await working(t, store, { llm, orchestrations: [ask], logger });
    const stet = (...argv: string[]) => type([...argv, "-s", store.address]);

    const suspended = await stet("start", "ask", "--id", "a-1", "--watch");
    const shown = await stet("show", "a-1");
    const toppedUp = await stet("top-up", "a-1", "--calls", "1");
    const watched = await stet("watch", "a-1");

    assert.equal(suspended.code, exitCodes.bad);
    assert.match(shown.stdout, /budget +1 of 1 calls/);
    assert.match(shown.stdout, /fix: add to its budget: stet top-up a-1/);
    assert.match(toppedUp.stdout, /^1 of 2 calls\n$/, toppedUp.stderr);
    assert.equal(watched.code, exitCodes.ok, watched.stdout);
  });

  test(`${kind}: migrate() makes a store, and does no harm to one that is there`, async () => {
    const { address } = makeStore();

    assert.equal((await type(["migrate", "-s", address])).code, exitCodes.ok);
    assert.equal((await type(["migrate", "-s", address])).code, exitCodes.ok);
    assert.equal((await type(["list", "-s", address])).code, exitCodes.ok);
  });

  test(`${kind}: bench() measures, and leaves nothing in the store`, async () => {
    const { address } = makeStore();

    const measured = json<{ [what: string]: number }>(
      await type(["bench", "--instances", "5", "--steps", "3", "--json", "-s", address]),
    );

    for (const speed of ["stepsPerSecond", "instancesPerSecond", "stepsAlonePerSecond"]) {
      assert.ok(Number(measured[speed]) > 0, speed);
    }
    assert.deepEqual(json(await type(["list", "--json", "-s", address])), { instances: [] });
  });
}

test("a doctor says what a dead worker owns", async (t) => {
  const store = sqliteStore();
  const storage = store.open();
  await storage.open();
  t.after(() => storage.close());
  const capabilities = { orchestrations: ["greet"], activities: [], models: false, tags: [] };
  const now = Date.now() - 60_000;
  const worker = await storage.registerWorker({ name: "gone", host: "h", pid: 1, capabilities, now });
  await type(["start", "greet", "-s", store.address]);
  await storage.claimTurns({ worker, now: Date.now(), max: 10, orchestrations: ["greet"], buildId: "b" });

  const { findings } = await examined(newFolder(), ["-s", store.address]);

  assert.match(findings.get("worker gone")?.says ?? "", /owns 1 instance and 0 pieces of work$/);
  assert.equal(findings.get("workers")?.says, "none is alive");
});

test("a doctor says what keeps a configuration from loading, and which key is missing", async () => {
  const broken = makeProject({ "stet.config.ts": "export default {{\n" });
  const keyless = makeProject({
    "stet.config.ts": 'throw new Error("Expected openai() to be given an apiKey, or OPENAI_API_KEY to be set");\n',
  });

  const [first, second] = await Promise.all([examined(broken), examined(keyless)]);

  assert.equal(first.code, exitCodes.bad);
  assert.match(first.findings.get("configuration")?.says ?? "", /Expected .*stet\.config\.ts to load, got/);
  assert.match(second.findings.get("configuration")?.fix ?? "", /set OPENAI_API_KEY/);
});

test("a doctor says how to make a store that is not there, and makes none", async () => {
  const cwd = newFolder();

  const { code, findings } = await examined(cwd, ["-s", "sqlite:nix.db"]);

  assert.equal(code, exitCodes.bad);
  assert.match(findings.get("store")?.fix ?? "", /stet migrate/);
  assert.equal(existsSync(join(cwd, "nix.db")), false);
});

test("a doctor sees that what is stored needs a key that the configuration does not give", async (t) => {
  const store = sqliteStore();
  const codec = aesGcm({ key: { id: "1", secret: Buffer.alloc(32, 1) } });
  const runtime = await working(t, store, { orchestrations: [greet], codec });
  await (await runtime.startOrchestration(greet, "Ada")).result();

  const { code, findings } = await examined(newFolder(), ["-s", store.address]);

  assert.equal(code, exitCodes.bad);
  assert.match(findings.get("payloads")?.fix ?? "", /codec/);
});

test("a shell completes commands and their options", async () => {
  const { stdout: script } = await type(["completion", "bash"]);
  const completed = (words: string) =>
    execFileSync("bash", [
      "-c",
      `${script}\nCOMP_WORDS=(${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _stet; echo "\${COMPREPLY[@]}"`,
    ])
      .toString()
      .trim();

  assert.equal(completed("stet li"), "list");
  assert.equal(completed("stet list --st"), "--status --storage");
  assert.match((await type(["completion", "fish"])).stdout, /-a list -d 'list instances, newest first'/);
  assert.match((await type(["completion", "zsh"])).stdout, /bashcompinit/);
});
