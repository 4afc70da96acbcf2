import { Command, Option } from "@commander-js/extra-typings";
import type { InstanceState } from "@stet/core";
import type { CommandFile } from "../command.ts";
import type { Look } from "../output.ts";
import { table } from "../table.ts";
import { count, instant, label } from "../values.ts";
import { brief, durationInWords, statusInColor } from "../words.ts";

const statuses = ["pending", "running", "blocked", "completed", "failed", "cancelled", "terminated"] as const;

/** `stet list`: instances, newest first. */
export const list: CommandFile = (session) =>
  new Command("list")
    .description("list instances, newest first")
    .addOption(new Option("--status <status...>", "only those that stand so").choices(statuses))
    .option("--name <orchestration>", "only those of this orchestration")
    .option("--version <version>", "only those of this version")
    .option("--label <key=value>", "only those with this label; may be repeated", label)
    .option("--prefix <prefix>", "only those whose id begins so")
    .option("--parent <id>", "only those that this instance started")
    .option("--since <time>", "only those started since: a date, or how long ago, such as 2h", instant)
    .option("--limit <count>", "how many", count, 20)
    .option("--cursor <cursor>", "go on after the page that ended with it")
    .action(async ({ status, name, version, label: labels, prefix, parent, since, limit, cursor }) => {
      const page = await session.withClient((client) =>
        client.list({
          limit,
          ...(status !== undefined && { status }),
          ...(name !== undefined && { name }),
          ...(version !== undefined && { version }),
          ...(labels !== undefined && { labels }),
          ...(prefix !== undefined && { idPrefix: prefix }),
          ...(parent !== undefined && { parentId: parent }),
          ...(since !== undefined && { createdAfter: since }),
          ...(cursor !== undefined && { cursor }),
        }),
      );
      session.out.result(page, (look) => listing(page.instances, look));
      if (page.cursor !== undefined && !session.out.json) session.out.note(`there are more: --cursor ${page.cursor}`);
    });

function listing(instances: readonly InstanceState[], look: Look): string {
  if (instances.length === 0) return look.colors.dim("no instances");
  return table(
    ["INSTANCE", "ORCHESTRATION", "STATUS", "STARTED", "TOOK", "SAYS"],
    instances.map((instance) => [
      instance.instanceId,
      orchestrationOf(instance),
      statusInColor(instance.status, look.colors),
      `${durationInWords(Date.now() - instance.createdAt)} ago`,
      hasEnded(instance) ? durationInWords(instance.updatedAt - instance.createdAt) : "",
      saysOf(instance),
    ]),
    look,
  );
}

function orchestrationOf({ name, version }: InstanceState): string {
  return version === undefined ? name : `${name}@${version}`;
}

function hasEnded({ status }: InstanceState): boolean {
  return !["pending", "running", "blocked"].includes(status);
}

/** What it would say for itself: why it failed, what it answered, or how it says it stands. */
function saysOf({ error, output, customStatus }: InstanceState): string {
  return brief(error?.message ?? output ?? customStatus);
}
