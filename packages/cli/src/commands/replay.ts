import { existsSync } from "node:fs";
import { basename, resolve } from "node:path";
import { Command, Option } from "@commander-js/extra-typings";
import { ConfigurationError, type ListOptions } from "@stet/core";
import type { RecordedHistory, UpgradeReport } from "@stet/replay";
import type { CommandFile } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import { Progress } from "../progress.ts";
import { orchestrationsOf } from "../project-code.ts";
import type { Session } from "../session.ts";
import { upgradeInWords } from "../upgrade.ts";
import { BranchCount, untakenInWords } from "../untaken-branches.ts";
import { instant, payload } from "../values.ts";

const statuses = ["pending", "running", "blocked", "completed", "failed", "cancelled", "terminated"] as const;

/** `stet replay`: what would become of recorded histories if this code took over now. */
export const replay: CommandFile = (session) =>
  new Command("replay")
    .description("replay recorded histories against today's code, and say what would not go on; nothing is written")
    .argument("[id-or-file]", "an instance, or a file with a capsule or histories")
    .option("--all", "the whole store, or what of it the options below find")
    .option("--module <file>", "the code to replay against, instead of that of the configuration")
    .addOption(new Option("--status <status...>", "with --all: only those that stand so").choices(statuses))
    .option("--name <orchestration>", "with --all: only those of this orchestration")
    .option("--since <time>", "with --all: only those started since: a date, or how long ago, such as 7d", instant)
    .option("--strict", "take a changed prompt for a difference")
    .option("--coverage", "list the branches in the project's source that no history has taken")
    .action(async (what, { all, module, status, name, since, strict, coverage }) => {
      if ((what === undefined) === (all === undefined)) {
        throw new ConfigurationError(
          "Expected stet replay to be given an instance, a file or --all, got " + (all ? "both" : "neither"),
        );
      }
      process.setSourceMapsEnabled(true); // before the code is loaded: lines are to be those of its source
      const { upgradeReport } = await import("@stet/replay");
      const orchestrations = await orchestrationsOf(session, module);
      const { config } = await session.config();
      const { payloadLimit, promptDrift = "report" } = config;
      const branches = coverage === true ? await branchCount(session) : undefined;
      const reportOn = async (histories: AsyncIterable<RecordedHistory> | RecordedHistory[], total?: number) => {
        const progress = new Progress(session.io.stderr, "histories", total);
        try {
          return await upgradeReport({
            orchestrations,
            histories: branches?.counted(histories) ?? histories,
            promptDrift: strict === true ? "error" : promptDrift,
            ...(payloadLimit !== undefined && { payloadLimit }),
            onProgress: (done) => progress.tell(done.histories),
          });
        } finally {
          progress.end();
        }
      };
      const isFile = what !== undefined && existsSync(resolve(session.io.cwd, what));
      const which: ListOptions = {
        ...(status !== undefined && { status }),
        ...(name !== undefined && { name }),
        ...(since !== undefined && { createdAfter: since }),
      };
      const report = isFile
        ? await reportOn(await inFile(session, what))
        : await inStore(session, what ?? which, reportOn);
      const untaken = branches?.untaken;
      session.out.result({ ...report, ...(untaken !== undefined && { coverage: untaken }) }, (look) =>
        [upgradeInWords(report, look), ...(untaken === undefined ? [] : [untakenInWords(untaken, look.colors)])].join(
          "\n\n",
        ),
      );
      if (!report.ok) session.exitCode = exitCodes.bad;
    });

async function branchCount({ io }: Session): Promise<BranchCount> {
  const { FlowCoverage, readDiagramProject, readProjectGraphs } = await import("@stet/diagram");
  return new BranchCount(readProjectGraphs(readDiagramProject(io.cwd)).map((graph) => new FlowCoverage(graph)));
}

async function inFile(session: Session, file: string): Promise<RecordedHistory[]> {
  const { historiesIn } = await import("@stet/replay");
  const { config } = await session.config();
  const content = await payload(`@${file}`, file, session.io);
  const name = basename(file).replace(/\.[^.]*$/, "");
  return historiesIn(content, { name, ...(config.codec !== undefined && { codec: config.codec }) });
}

async function inStore(
  session: Session,
  which: string | ListOptions,
  reportOn: (histories: AsyncIterable<RecordedHistory>, total?: number) => Promise<UpgradeReport>,
): Promise<UpgradeReport> {
  const { historiesOf } = await import("@stet/replay");
  return session.withClient(async (client) => {
    const isAll = typeof which !== "string" && Object.keys(which).length === 0;
    const counts = isAll ? Object.values((await client.stats()).instances) : [];
    const total = isAll ? counts.reduce((sum, count) => sum + count, 0) : undefined;
    return reportOn(historiesOf(client, which), total);
  });
}
