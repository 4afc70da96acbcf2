/**
 * What docs/deployment.md shows is run: its worker in a process that is asked to stop while it works, its probes, its
 * monitoring; and its examples give a worker the time that it asks for.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { Client } from "@stet/core";
import { postgres } from "@stet/postgres";
import { parse } from "yaml";
import { newDatabase } from "../chaos/stores.ts";
import { until } from "../chaos/until.ts";
import { databaseUrl } from "../storage/postgres-database.ts";
import { blocksOfDocument, read, root } from "./blocks.ts";

const page = "docs/deployment.md";

/** What the test sees of the manifest. */
interface Manifest {
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly terminationGracePeriodSeconds: number;
        readonly containers: readonly [{ readonly startupProbe: Probe; readonly livenessProbe: Probe }];
      };
    };
  };
}

interface Probe {
  readonly exec: { readonly command: readonly string[] };
}

const worker = blocksOfDocument(page)[0]!.text;
const pod = (parse(blockOf("yaml")) as Manifest).spec.template.spec;

/** What the worker of the page imports: its first activity goes on until the process is asked to end. */
const tickets = `
import { writeFileSync } from "node:fs";
import { activity, orchestration } from "@stet/core";

let asked = false;
process.once("SIGTERM", () => (asked = true));
const pause = () => new Promise((resolve) => setTimeout(resolve, 10));
const first = activity("first", async () => {
  writeFileSync("begun", "");
  while (!asked) await pause();
  return process.env.HOSTNAME;
});
const second = activity("second", async () => process.env.HOSTNAME);
const inTurn = orchestration("inTurn", async (ctx) => [await ctx.activity(first), await ctx.activity(second)]);
const waits = orchestration("waits", async (ctx) => ctx.waitForEvent("go"));
export const orchestrations = [inTurn, waits];
export const activities = [first, second];
`;

test("the worker of the page lets what runs end at SIGTERM, gives back, and another goes on", async (t) => {
  const { address, remove } = await newDatabase(databaseUrl());
  t.after(remove);
  const folder = newFolder(t);
  const client = await Client.connect({ storage: postgres({ url: address }) });
  t.after(() => client.close());
  const one = startWorker(t, folder, address, "one");
  await until("the worker to be alive", () => existsSync(join(folder, "one")));
  assert.equal(probe("startupProbe", join(folder, "one")), 0);
  assert.equal(probe("livenessProbe", join(folder, "one")), 0);
  const waiting = await client.startOrchestration("waits", undefined, { instanceId: "waiting" });
  const running = await client.startOrchestration("inTurn", undefined, { instanceId: "running" });
  await until("the first activity to run", () => existsSync(join(folder, "begun")));
  await until("both to be owned", async () => (await client.stats()).workers[0]?.instances === 2);

  one.kill("SIGTERM");
  const [code] = (await once(one, "exit")) as [number | null];

  assert.equal(code, 0);
  assert.deepEqual((await client.stats()).workers, []);
  const kinds = (await running.history()).map(({ kind }) => kind);
  assert.deepEqual(kinds.slice(1), ["ActivityScheduled", "ActivityCompleted", "ActivityScheduled"]);

  startWorker(t, folder, address, "two");
  await waiting.raiseEvent("go", "gone");
  assert.equal(await waiting.result(), "gone");
  assert.deepEqual(await running.result(), ["one", "two"]);
});

test("the probes of the manifest tell a file that is touched from one that is not, or not there", (t) => {
  const file = join(newFolder(t), "alive");
  assert.notEqual(probe("startupProbe", file), 0);
  writeFileSync(file, "");
  assert.equal(probe("startupProbe", file), 0);
  assert.equal(probe("livenessProbe", file), 0);

  const longAgo = Date.now() / 1_000 - 120;
  utimesSync(file, longAgo, longAgo);

  assert.equal(probe("startupProbe", file), 0);
  assert.notEqual(probe("livenessProbe", file), 0);
});

test("systemd and Kubernetes wait for longer than the worker takes", () => {
  const takes = Number(/shutdown\(\{ timeout: "(\d+)s" \}\)/.exec(worker)?.[1]);
  const unit = Number(/^TimeoutStopSec=(\d+)$/m.exec(blockOf("ini"))?.[1]);

  assert.ok(unit > takes, `${unit} > ${takes}`);
  assert.ok(pod.terminationGracePeriodSeconds > takes, `${pod.terminationGracePeriodSeconds} > ${takes}`);
});

function blockOf(language: string): string {
  const [, block] = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "m").exec(read(page)) ?? [];
  assert.ok(block !== undefined, `${page} has a block of ${language}`);
  return block;
}

function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "stet-deployment-"));
  t.after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}

/** Runs the code of the page in a process of its own, which touches the file of its name. */
function startWorker(t: TestContext, folder: string, address: string, name: string): ChildProcess {
  const imports = `import { Runtime } from "@stet/core";
    import { postgres } from "@stet/postgres";
    import { activities, orchestrations } from "./tickets.ts";`;
  if (!existsSync(join(folder, "node_modules"))) symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  writeFileSync(join(folder, "tickets.ts"), tickets);
  writeFileSync(join(folder, "worker.ts"), `${imports}\n${worker}`);
  const tsx = join(root, "node_modules/tsx/dist/loader.mjs");
  const env = { ...process.env, DATABASE_URL: address, HOSTNAME: name, ALIVE_FILE: join(folder, name) };
  const child = spawn(process.execPath, ["--conditions=@stet/source", "--import", tsx, "worker.ts"], {
    cwd: folder,
    env,
    stdio: ["ignore", "inherit", "inherit"],
  });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  return child;
}

/** The exit code of a probe, of a file other than the one of the page. */
function probe(name: "startupProbe" | "livenessProbe", file: string): number | null {
  const [command = "", ...given] = pod.containers[0][name].exec.command;
  return spawnSync(
    command,
    given.map((argument) => argument.replace("/tmp/alive", file)),
  ).status;
}
