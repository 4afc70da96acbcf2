/** A worker on {@link mixedWork}, in a process of its own, until it is killed. */
import { appendFileSync } from "node:fs";
import { Runtime } from "@stet/core";
import { after, mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { mixedWork } from "./mixed-work.ts";
import { startsLine } from "./starts.ts";

const [, , store = "", starts = "", name = "", pauseMs = "10"] = process.argv;

const { orchestrations, activities } = mixedWork((ctx) => appendFileSync(starts, startsLine(ctx)), Number(pauseMs));
const llm = mock().otherwise(({ messages }) =>
  after(Number(pauseMs) * (0.5 + Math.random()), /^Say (\d+)/.exec(String(messages.at(-1)?.content))?.[1] ?? "nothing"),
);

await Runtime.start({
  storage: sqlite(store),
  llm,
  orchestrations,
  activities,
  workerName: name,
  concurrency: { activities: 24, models: 4 },
});
process.stdout.write("at work\n");
