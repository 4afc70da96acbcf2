/** A process of `90-client.test.ts` without a runtime: it starts an instance, waits for its result and ends. */
import { Client } from "@stet/core";
import { sqlite } from "@stet/sqlite";

const [, , path = ""] = process.argv;
const client = await Client.connect({ storage: sqlite(path) });
const run = await client.startOrchestration<string>("wait", undefined, { instanceId: "w" });
process.stdout.write(`${await run.result()}\n`);
await client.close();
