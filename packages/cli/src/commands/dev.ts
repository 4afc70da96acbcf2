import { once } from "node:events";
import { dirname } from "node:path";
import { Command } from "@commander-js/extra-typings";
import { ConfigurationError } from "@stet/core";
import type { CommandFile } from "../command.ts";
import { followAll } from "../follow.ts";
import { happeningInWords } from "../watching.ts";
import { WorkerProcess } from "../worker-process.ts";

/** `stet dev`: a worker that begins anew whenever the code is saved, and what happens in the store meanwhile. */
export const dev: CommandFile = (session) =>
  new Command("dev")
    .description("run the project while you write it: reload on save, and a live timeline of all instances")
    .action(async () => {
      const { io, out } = session;
      const { file } = await session.config();
      if (file === undefined) {
        throw new ConfigurationError(`Expected a stet.config.ts in ${io.cwd}, got none: stet init makes a project`);
      }
      const { name } = await session.storage({ create: true });
      if (name === "sqlite::memory:") {
        throw new ConfigurationError(
          "Expected the store of stet dev to be one that several processes can use, such as sqlite:dev.db, got one in memory",
        );
      }
      await session.withClient(
        async (client, storage) => {
          const { watch } = await import("chokidar");
          const watcher = watch(dirname(file), {
            ignored: (path) => isIgnored(path.slice(dirname(file).length)),
            ignoreInitial: true,
          });
          await once(watcher, "ready");
          const worker = new WorkerProcess(session);
          watcher.on("all", (_event, path) => worker.reload(path));
          try {
            for await (const happening of followAll({ client, storage, signal: io.signal })) {
              out.line(
                happening,
                ({ colors }) => `${colors.bold(happening.instanceId)}  ${happeningInWords(happening, colors)}`,
              );
            }
          } finally {
            await watcher.close();
            await worker.stop();
          }
        },
        { create: true },
      );
    });

/** Code, and the folders that it is in. The store is written all the time. */
function isIgnored(path: string): boolean {
  if (/[\\/](node_modules|dist|\.[^\\/]*)([\\/]|$)/.test(path)) return true;
  return /\.[^\\/.]+$/.test(path) && !/\.([cm]?[jt]sx?|json)$/.test(path);
}
