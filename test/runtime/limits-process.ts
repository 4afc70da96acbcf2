/**
 * A worker of its own on a SQLite file, for `93-limits.test.ts`. It says when it takes capacity and when its model is asked;
 * the model answers nothing before it is told to. A second line on its input ends it.
 */
import { createInterface } from "node:readline";
import { type CallClaim, orchestration, Runtime } from "@stet/core";
import { mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";

const [path = ""] = process.argv.slice(2);
const told = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const storage = sqlite(path);
const claimCalls = storage.claimCalls.bind(storage);
storage.claimCalls = async (claim: CallClaim) => {
  const claimed = await claimCalls(claim);
  for (const _call of claimed.calls) say(`took ${claim.now}`);
  return claimed;
};

let mayAnswer = (): void => undefined;
const answering = new Promise<void>((resolve) => (mayAnswer = resolve));
const ask = orchestration("ask", async (ctx, prompt: string) => ctx.generate(prompt));
const runtime = await Runtime.start({
  storage,
  orchestrations: [ask],
  llm: mock().otherwise(async () => {
    say("asked");
    await answering;
    return "done";
  }),
  concurrency: { models: 1 },
  modelLimits: { "mock-1": { requestsPerSecond: 5 } },
});
await told.next();
mayAnswer();
await told.next();
await runtime.shutdown();
process.stdin.destroy();
