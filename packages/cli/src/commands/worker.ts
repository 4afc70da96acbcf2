import { Command } from "@commander-js/extra-typings";
import { ConfigurationError, Runtime } from "@stet/core";
import type { CommandFile } from "../command.ts";
import { milliseconds } from "../values.ts";

/** `stet worker`: a runtime with the project's orchestrations and activities, until Ctrl-C. */
export const worker: CommandFile = (session) =>
  new Command("worker")
    .description("run the orchestrations and activities of the project until Ctrl-C, which drains")
    .option("--drain <duration>", "how long activities that run at Ctrl-C may go on (default: 30s)", milliseconds)
    .action(async ({ drain }) => {
      const { config, file } = await session.config();
      const { orchestrations = [], activities = [] } = config;
      if (orchestrations.length + activities.length === 0) {
        throw new ConfigurationError(
          `Expected ${file ?? "stet.config.ts"} to name orchestrations or activities to run, got none`,
        );
      }
      const { storage, name: store } = await session.storage({ create: true });
      const runtime = await Runtime.start({ ...config, storage });
      const running = {
        store,
        orchestrations: orchestrations.map(({ name, version }) => `${name}@${version}`),
        activities: activities.map(({ name }) => name),
      };
      session.out.line(
        running,
        () => `working on ${store}: ${[...running.orchestrations, ...running.activities].join(" ")}`,
      );
      try {
        await aborted(session.io.signal);
        session.out.note(`draining; Ctrl-C again ends at once`);
      } finally {
        await runtime.shutdown(drain === undefined ? {} : { timeout: drain });
      }
    });

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
