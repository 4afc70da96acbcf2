/** What `stet doctor` looks at, one thing after the other. What does not hold comes with what mends it. */
import {
  type Client,
  type ClientStats,
  isStetError,
  type LlmProvider,
  type StorageProvider,
  type WorkerKey,
} from "@stet/core";
import { exitCodeOf, exitCodes } from "./exit-codes.ts";
import type { Session } from "./session.ts";
import { countOf, durationInWords, missingInWords, ownedInWords } from "./words.ts";

/** What was found about one thing. */
export interface Finding {
  readonly what: string;
  /** `warning`: it works, and somebody should know. */
  readonly verdict: "good" | "warning" | "bad";
  readonly says: string;
  readonly fix?: string;
}

/** Looks at everything that can be looked at: what hangs on something that is bad is left out. */
export async function* examine(session: Session): AsyncGenerator<Finding> {
  yield node();
  const configuration = await configurationOf(session);
  yield configuration;
  if (configuration.verdict === "bad") return;
  yield* await keys(session);
  yield* store(session);
}

function node(): Finding {
  const what = "node";
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const says = `${process.version} on ${process.platform} ${process.arch}`;
  if (major > 20 || (major === 20 && minor >= 19)) return { what, verdict: "good", says };
  return { what, verdict: "bad", says, fix: "install Node 20.19 or later" };
}

async function configurationOf(session: Session): Promise<Finding> {
  const what = "configuration";
  try {
    const { config, file } = await session.config();
    if (file === undefined) return { what, verdict: "good", says: "none: the store is named otherwise" };
    const { orchestrations = [], activities = [] } = config;
    const says = `${file}: ${countOf(orchestrations.length, "orchestration")}, ${countOf(activities.length, "activity", "activities")}`;
    return { what, verdict: "good", says };
  } catch (error) {
    const says = messageOf(error);
    const key = /\b[A-Z_]+_API_KEY\b/.exec(says)?.[0];
    const fix = key === undefined ? "mend the file that the error names" : `set ${key}, or give the key otherwise`;
    return { what, verdict: "bad", says, fix };
  }
}

/** The variables that packaged providers read when they are given no key. */
const keyVariables: { readonly [provider: string]: string } = {
  openai: "OPENAI_API_KEY",
  "azure-openai": "AZURE_OPENAI_API_KEY",
  anthropic: "ANTHROPIC_API_KEY",
};

/** A provider that has no key and needs one does not load: the configuration is bad then. */
async function keys(session: Session): Promise<Finding[]> {
  const { config } = await session.config();
  return providersOf(config.llm).flatMap(({ name, model }) => {
    const variable = keyVariables[name];
    if (variable === undefined) return [];
    const isSet = Boolean(session.io.env[variable]);
    const says = isSet ? `${variable} is set` : "given by the configuration, or not needed";
    return [{ what: `key of ${name}/${model}`, verdict: "good", says }];
  });
}

function providersOf(llm: unknown): LlmProvider[] {
  if (typeof llm !== "object" || llm === null) return [];
  if ("complete" in llm) return [llm as LlmProvider];
  return Object.values(llm).flatMap(providersOf);
}

async function* store(session: Session): AsyncGenerator<Finding> {
  const began = performance.now();
  try {
    const { name } = await session.storage({ create: false });
    yield* await session.withClient(async (client, storage) => {
      const stats = await client.stats();
      const took = durationInWords(performance.now() - began);
      const findings: Finding[] = [
        { what: "store", verdict: "good", says: `${name}: opened and counted in ${took}` },
        { what: "schema", verdict: "good", says: "up to date" },
      ];
      if (storage.name === "sqlite") {
        findings.unshift({ what: "native module", verdict: "good", says: "better-sqlite3 works with this Node" });
      }
      const readable = await payloads(client);
      findings.push(
        readable,
        ...(readable.verdict === "good" ? [await clock(client)] : []),
        ...(await workers(storage)),
      );
      findings.push(...handlers(stats), blocked(stats));
      return findings;
    });
  } catch (error) {
    yield unreachable(error);
  }
}

function unreachable(error: unknown): Finding {
  const says = messageOf(error);
  if (/better-sqlite3|better_sqlite3|NODE_MODULE_VERSION/.test(says)) {
    const fix = "npm rebuild better-sqlite3, with the Node that runs the program";
    return { what: "native module", verdict: "bad", says, fix };
  }
  const fix =
    exitCodeOf(error) === exitCodes.usage
      ? "name a store: --storage, STET_STORAGE, or storage in stet.config.ts"
      : "look at the address, the server and who may read it; stet migrate makes a store that is not there";
  return { what: "store", verdict: "bad", says, fix };
}

/** Whoever wrote last looked at another clock. */
async function clock(client: Client): Promise<Finding> {
  const { instances } = await client.list({ limit: 100 });
  const aheadMs = Math.max(0, ...instances.map(({ updatedAt }) => updatedAt)) - Date.now();
  const what = "clock";
  if (aheadMs < 1_000) return { what, verdict: "good", says: "nothing in the store is from the future" };
  const says = `this machine is ${durationInWords(aheadMs)} behind whoever wrote to the store`;
  return { what, verdict: "warning", says, fix: "let NTP set the clocks of all machines" };
}

/** Whether what is stored can be read with the codec of the configuration. */
async function payloads(client: Client): Promise<Finding> {
  const what = "payloads";
  try {
    const { instances } = await client.list({ limit: 1 });
    for (const { instanceId } of instances) await client.instance(instanceId).history();
    return { what, verdict: "good", says: "can be read" };
  } catch (error) {
    const fix = "give the configuration the codec and the keys that the workers have";
    return { what, verdict: "bad", says: messageOf(error), fix };
  }
}

const deadAfterMs = 10_000;

async function workers(storage: StorageProvider): Promise<Finding[]> {
  const [records, { owned }] = await Promise.all([storage.listWorkers(Date.now()), storage.admin.stats(Date.now())]);
  const nothing = { instances: 0, work: 0 };
  const ownedBy = (key: WorkerKey) => ownedInWords(owned.find(({ worker }) => worker === key) ?? nothing);
  const each = records.map(({ key, name, host, pid, silentForMs, capabilities }): Finding => {
    const what = `worker ${name}`;
    const where = `on ${host}, process ${pid}`;
    if (silentForMs >= deadAfterMs) {
      const says = `${where}: silent for ${durationInWords(silentForMs)}, ${ownedBy(key)}`;
      const fix = "none is needed: the next living worker buries it and takes over what it owns";
      return { what, verdict: "warning", says, fix };
    }
    const { orchestrations, activities } = capabilities;
    const has = [...orchestrations.filter((handler) => handler.includes("@")), ...activities].join(" ");
    return { what, verdict: "good", says: `${where}: ${ownedBy(key)}, has ${has}` };
  });
  if (each.some(({ verdict }) => verdict === "good")) return each;
  const says = each.length === 0 ? "none" : "none is alive";
  return [{ what: "workers", verdict: "warning", says, fix: "start one: stet worker, or stet dev" }, ...each];
}

function handlers({ missingHandlers }: ClientStats): Finding[] {
  const what = "handlers";
  const missing = missingInWords(missingHandlers);
  if (missing.length === 0) return [{ what, verdict: "good", says: "nothing waits for code that no worker has" }];
  const says = `instances wait for ${missing.join("; for ")}`;
  return [{ what, verdict: "bad", says, fix: "start a worker whose configuration has what is missing" }];
}

function blocked({ blocked: count }: ClientStats): Finding {
  const what = "blocked";
  if (count === 0) return { what, verdict: "good", says: "no instance" };
  const fix = "stet list --status blocked, then stet show ID says why";
  return { what, verdict: "warning", says: countOf(count, "instance"), fix };
}

function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return isStetError(error) && error.cause instanceof Error && !message.includes(error.cause.message)
    ? `${message}: ${error.cause.message}`
    : message;
}
