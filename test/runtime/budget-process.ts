/**
 * A worker of `92-budget-processes.test.ts`, until it is killed. It says when its model is asked, which answers as often as
 * it is told to.
 */
import { Runtime } from "@stet/core";
import { mock, says } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { shared } from "./shared-budget.ts";

const [, , path = ""] = process.argv;
const held: (() => void)[] = [];
let answers = 0;

function answer(): void {
  while (answers > 0 && held.length > 0) {
    answers--;
    held.shift()?.();
  }
}

process.on("message", (count: number) => {
  answers += count;
  answer();
});
process.on("disconnect", () => process.exit());

const llm = mock().otherwise(async () => {
  process.send?.("asked");
  await new Promise<void>((resolve) => {
    held.push(resolve);
    answer();
  });
  return says("ok", { usage: { inputTokens: 30, outputTokens: 10 } });
});
await Runtime.start({ storage: sqlite(path), llm, orchestrations: Object.values(shared) });
