/**
 * A provider that fails. A name of the model table may be a list: the models are asked in this order until one answers.
 * A model that fails again and again is left alone for a while, so that nobody waits for it; one call then tries whether
 * it is back. Another model has a limit, and calls that are too many for it wait in the store until they may start.
 *
 * Time is the test's own here, so that nobody has to wait; in an application leave the environment out and start a Runtime
 * with the same options.
 *
 * Prints:
 *   12 questions to a cloud that is down: 12 answers from the house model, 10 tries of the cloud
 *   one more: an answer from the house model, 10 tries of the cloud
 *   10 seconds later the cloud is back: an answer from the cloud, 11 tries of the cloud
 *   3 letters at 1 per minute: the first at once, the last after 2 minutes
 *   the second said meanwhile: no capacity for another 60 seconds
 */
import { LlmError, orchestration } from "@stet/core";
import { mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { TestEnvironment } from "@stet/testing";

const answer = orchestration("answer", async (ctx, question: string) => ctx.generate(question));
const write = orchestration("write", async (ctx, topic: string) => ctx.generate(topic, { model: "writer" }));

let isDown = true;
let tries = 0;
const cloud = mock({ name: "cloud" }).otherwise(() => {
  tries++;
  return isDown ? new LlmError("unavailable", "503 Service Unavailable", { status: 503 }) : "the cloud";
});
const house = mock({ name: "house" }).otherwise("the house model");
const writtenAt: number[] = [];
const writer = mock({ name: "writer" }).otherwise(() => {
  writtenAt.push(env.clock.now());
  return "Dear reader";
});

const env = await TestEnvironment.start({
  storage: sqlite(":memory:"),
  orchestrations: [answer, write],
  llm: { default: ["cloud", "house"], cloud, house, writer },
  modelLimits: { writer: { requestsPerMinute: 1 } },
});

const ask = async (question: string) => env.result(await env.startOrchestration(answer, question));

const answers: string[] = [];
for (let i = 1; i <= 12; i++) answers.push(await ask(`Question ${i}?`));
const fromHouse = answers.filter((by) => by === "the house model").length;
console.log(
  `12 questions to a cloud that is down: ${fromHouse} answers from the house model, ${tries} tries of the cloud`,
);
console.log(`one more: an answer from ${await ask("And?")}, ${tries} tries of the cloud`);

await env.advance("10s");
isDown = false;
const back = await ask("And now?");
console.log(`10 seconds later the cloud is back: an answer from ${back}, ${tries} tries of the cloud`);

const startedAt = env.clock.now();
const letters = [];
for (const topic of ["spring", "summer", "autumn"]) letters.push(await env.startOrchestration(write, topic));
await env.settle();
const [waiting] = (await env.client.instance(letters[1]?.instanceId ?? "").status()).waitingFor;
for (const letter of letters) await env.result(letter);
const minutes = Math.round(((writtenAt[2] ?? 0) - startedAt) / 60_000);
console.log(`3 letters at 1 per minute: the first at once, the last after ${minutes} minutes`);
const seconds = waiting?.kind === "model" ? Math.round(((waiting.capacityAt ?? 0) - startedAt) / 1_000) : 0;
console.log(`the second said meanwhile: no capacity for another ${seconds} seconds`);
await env.close();
