import { Command, Option } from "@commander-js/extra-typings";
import { ConfigurationError, type HistoryEvent, Runtime } from "@stet/core";
import type { DiagramFormat, DiagramProject, FileChange, FlowGraph } from "@stet/diagram";
import type { CommandFile } from "../command.ts";
import { exitCodes } from "../exit-codes.ts";
import type { Colors } from "../output.ts";
import type { Session } from "../session.ts";
import { countOf } from "../words.ts";

const formats = ["mermaid", "sequence", "dot", "plantuml", "svg", "json", "preview"] as const;

/** `stet diagram`: what the orchestrations of a project may do, drawn from their source. */
export const diagram: CommandFile = (session) =>
  new Command("diagram")
    .description("draw what the orchestrations of the project may do, from their source")
    .option("--name <orchestration>", "only this one: NAME, NAME@VERSION or FILE#NAME")
    .addOption(new Option("--format <format>", "how (package.json: stet.diagrams.format)").choices(formats))
    .option("--output <folder>", "where the files go (package.json: stet.diagrams.outputDir)")
    .option("--preview", "draw to the terminal, and write no file")
    .option(
      "--embed [files...]",
      "refresh the diagrams in Markdown, behind <!-- stet diagram NAME -->, and write no file",
    )
    .option("--instance <id>", "print the way that this instance took, with times, attempts, tokens and cost")
    .option("--fleet", "print counts, times and failure rates of all instances of the store")
    .addOption(
      new Option("--describe", "first let the model of stet.config.ts word labels and a summary").conflicts("check"),
    )
    .option("--check", "write nothing; fail with a diff when a diagram is not what the code is")
    .action(async ({ name, format, output, preview, instance, fleet, embed, describe, check }) => {
      const project = await projectOf(session, { format, output });
      const { describedGraphs, graphNamed, planDiagrams, planEmbedded, planSome, readProjectGraphs } =
        await import("@stet/diagram");
      const read = readProjectGraphs(project);
      if (describe === true) await describeMissing(session, project, read, name);
      const { graphs } = describedGraphs(project, read);
      const chosen = name === undefined ? graphs : [graphNamed(graphs, name)];
      if (instance !== undefined) return print(session, [await wayOf(session, graphs, instance)], format ?? "preview");
      if (fleet === true) return print(session, await waysOfAll(session, chosen), format ?? "preview");
      if (preview === true) return print(session, chosen, format ?? "preview");
      const changes =
        embed !== undefined
          ? await planEmbedded(project, graphs, embed === true ? [] : embed)
          : name === undefined
            ? await planDiagrams(project, graphs)
            : await planSome(project, chosen, graphs);
      if (check === true) await compare(session, changes);
      else await write(session, project, changes);
    });

/** What is typed goes before what package.json says. */
async function projectOf(
  { io }: Session,
  typed: { readonly format: DiagramFormat | undefined; readonly output: string | undefined },
): Promise<DiagramProject> {
  const { readDiagramProject } = await import("@stet/diagram");
  const project = readDiagramProject(io.cwd);
  return { ...project, format: typed.format ?? project.format, outputDir: typed.output ?? project.outputDir };
}

async function print({ out }: Session, graphs: readonly FlowGraph[], format: DiagramFormat): Promise<void> {
  const { drawDiagram } = await import("@stet/diagram");
  const drawn = await Promise.all(graphs.map(async (graph) => (await drawDiagram(graph, format)).trimEnd()));
  out.result(graphs, () => drawn.join("\n\n"));
}

/** Asks the model for what has no description, and keeps what it says. */
async function describeMissing(
  session: Session,
  project: DiagramProject,
  graphs: readonly FlowGraph[],
  name: string | undefined,
): Promise<void> {
  const { applyChanges, describeGraph, describedGraphs, graphNamed, planDescriptions } = await import("@stet/diagram");
  const { config } = await session.config();
  if (config.llm === undefined) {
    throw new ConfigurationError("Expected stet.config.ts to name a model for --describe as llm, got none");
  }
  const { undescribed } = describedGraphs(project, name === undefined ? graphs : [graphNamed(graphs, name)]);
  if (undescribed.length === 0) return;
  const { sqlite } = await import("@stet/sqlite");
  const runtime = await Runtime.start({
    storage: sqlite(":memory:"),
    llm: config.llm,
    orchestrations: [describeGraph],
  });
  try {
    const runs = undescribed.map(async (graph) => {
      const run = await runtime.startOrchestration(describeGraph, graph);
      return [graph, await run.result()] as const;
    });
    applyChanges(project.folder, planDescriptions(project, graphs, new Map(await Promise.all(runs))));
  } finally {
    await runtime.shutdown();
  }
}

/** The graph of an instance, with what its current execution did. */
async function wayOf(session: Session, graphs: readonly FlowGraph[], instanceId: string): Promise<FlowGraph> {
  const { graphNamed, markHistories } = await import("@stet/diagram");
  return session.withClient(async (client) => {
    const instance = client.instance(instanceId);
    const [{ name, version }, history] = await Promise.all([instance.status(), instance.history()]);
    const marked = markHistories(graphNamed(graphs, version === undefined ? name : `${name}@${version}`), [history]);
    if (marked.strayed > 0) {
      throw new ConfigurationError(
        `Expected the history of instance ${instanceId} to be a path through orchestration ${name} of the source, got one that other code has recorded: stet replay ${instanceId} says where they part`,
      );
    }
    return marked;
  });
}

/** The graphs that have instances, each with what the current executions of all of them did. */
async function waysOfAll(session: Session, graphs: readonly FlowGraph[]): Promise<FlowGraph[]> {
  const { markHistories } = await import("@stet/diagram");
  return session.withClient(async (client) => {
    const marked: FlowGraph[] = [];
    for (const graph of graphs) {
      const { name, version } = graph;
      const histories: HistoryEvent[][] = [];
      let cursor: string | undefined;
      do {
        const page = await client.list({ name, version, limit: 200, ...(cursor !== undefined && { cursor }) });
        const read = page.instances.map(({ instanceId }) => client.instance(instanceId).history());
        histories.push(...(await Promise.all(read)));
        ({ cursor } = page);
      } while (cursor !== undefined);
      if (histories.length === 0) continue;
      const ways = markHistories(graph, histories);
      const { followed, strayed } = ways;
      const others = strayed === 0 ? "" : `, and ${strayed} that other code has recorded`;
      session.out.note(`${name}: ${countOf(followed, "instance")}${others}`);
      marked.push(ways);
    }
    return marked;
  });
}

async function write({ out }: Session, { folder }: DiagramProject, changes: readonly FileChange[]): Promise<void> {
  const { applyChanges } = await import("@stet/diagram");
  applyChanges(folder, changes);
  const done = changes.map(({ file, after }) => ({ file, change: after === undefined ? "removed" : "written" }));
  out.result(done, ({ colors }) =>
    done.length === 0
      ? colors.dim("all diagrams are what the code is")
      : done.map(({ file, change }) => `${change} ${file}`).join("\n"),
  );
}

async function compare(session: Session, changes: readonly FileChange[]): Promise<void> {
  const { diffOfChanges } = await import("@stet/diagram");
  const { out } = session;
  const found = changes.map((change) => ({ file: change.file, diff: diffOfChanges([change]) }));
  out.result(found, ({ colors }) =>
    found.length === 0
      ? colors.dim("all diagrams are what the code is")
      : found.map(({ diff }) => paintedDiff(diff, colors)).join("\n"),
  );
  if (found.length === 0) return;
  session.exitCode = exitCodes.bad;
  if (!out.json) out.note("run the same without --check, look at the difference, and commit it");
}

function paintedDiff(diff: string, colors: Colors): string {
  const paint = (line: string) => (line.startsWith("+") ? colors.green : line.startsWith("-") ? colors.red : String);
  return diff
    .trimEnd()
    .split("\n")
    .map((line) => paint(line)(line))
    .join("\n");
}
