/** An upgrade report as text: a table of all, and then each difference with its place and what to do. */
import type { Divergence, Finding, UpgradeReport } from "@stet/replay";
import type { Colors, Look } from "./output.ts";
import { table } from "./table.ts";

const outcomes = ["identical", "drifted", "diverged", "missing", "unreadable"] as const;

/** The report for people. */
export function upgradeInWords(report: UpgradeReport, look: Look): string {
  const { colors } = look;
  if (report.histories.length === 0) return colors.dim("no histories");
  const rows = report.summary.map((row) => [
    row.orchestration === undefined ? "(unreadable)" : `${row.orchestration}@${row.version}`,
    ...outcomes.map((outcome) => (row[outcome] === 0 ? "" : painted(outcome, String(row[outcome]), colors))),
  ]);
  const verdict = report.ok
    ? colors.green("this code can take over")
    : colors.red("this code cannot take over everywhere");
  return [
    table(["ORCHESTRATION", ...outcomes.map((outcome) => outcome.toUpperCase())], rows, look),
    ...report.findings.map((finding) => findingInWords(finding, colors)),
    verdict,
  ].join("\n\n");
}

function findingInWords(finding: Finding, colors: Colors): string {
  const { orchestration, version, count, open, instances } = finding;
  const who = `${orchestration === undefined ? "histories" : `${orchestration}@${version}`}`;
  const where = `${count} (${open} open): ${instances.join(", ")}${count > instances.length ? ", ..." : ""}`;
  const title = `${painted(finding.finding, finding.finding, colors)} ${colors.bold(who)}  ${colors.dim(where)}`;
  return [title, ...detailsOf(finding, colors).map((line) => `  ${line.replaceAll("\n", "\n  ")}`)].join("\n");
}

function detailsOf(finding: Finding, colors: Colors): string[] {
  switch (finding.finding) {
    case "diverged":
      return [...divergenceInWords(finding.divergence, colors), ...adviceInWords(finding, colors)];
    case "drifted": {
      const { eventId, operation, label, at, diff } = finding.prompt;
      const call = `event ${eventId}: the prompt of ${operation}${label === undefined ? "" : ` (${label})`}`;
      const place = at === undefined ? "" : ` at ${at.file}:${at.line}:${at.column}`;
      return [
        `${call}${place}; the recorded answer stands`,
        diff === undefined ? "(it is not recorded)" : paintedDiff(diff, colors),
      ];
    }
    case "missing":
      return [
        `no orchestration ${finding.orchestration} of version ${finding.version} here: open instances would wait for one`,
      ];
    case "unreadable":
      return [finding.error];
  }
}

function divergenceInWords({ eventId, expected, actual, why, at, after }: Divergence, colors: Colors): string[] {
  const place =
    at !== undefined
      ? `at ${at.file}:${at.line}:${at.column}`
      : after !== undefined
        ? `after ${after.file}:${after.line}:${after.column}`
        : "";
  return [
    `event ${eventId}: ${why} ${place}`.trimEnd(),
    ...(expected === undefined ? [] : [`${colors.dim("recorded")} ${expected}`]),
    `${colors.dim("today   ")} ${actual}`,
  ];
}

function adviceInWords({ advice }: Finding & { readonly finding: "diverged" }, colors: Colors): string[] {
  const { pin, patch } = advice;
  if (patch === undefined) return [`${colors.dim("either")} ${pin}.`];
  const { at, replace, by, note } = patch;
  return [
    `${colors.dim("either")} mark the change, in ${at.file}:${at.line}:${at.column}:`,
    paintedDiff([...(replace === "" ? [] : [`-${replace}`]), `+${by.trim()}`].join("\n"), colors),
    ...(note === undefined ? [] : [note]),
    `${colors.dim("or")} ${pin}.`,
  ];
}

function paintedDiff(diff: string, colors: Colors): string {
  return diff
    .trimEnd()
    .split("\n")
    .map((line) => (line.startsWith("+") ? colors.green(line) : line.startsWith("-") ? colors.red(line) : line))
    .join("\n");
}

function painted(outcome: (typeof outcomes)[number], text: string, colors: Colors): string {
  if (outcome === "identical") return colors.green(text);
  return outcome === "drifted" ? colors.yellow(text) : colors.red(text);
}
