/** The public names of `@stet/replay`. */

// The upgrade report
export { upgradeReport, type UpgradeOptions, type UpgradeReport } from "./upgrade-report.ts";
export type { HistoryVerdict, Verdict } from "./verdict.ts";
export type { Divergence } from "./divergence.ts";
export type { PromptChange } from "./prompt-change.ts";
export type { Difference, Finding } from "./findings.ts";
export type { Advice, Patch } from "./advice.ts";
export type { SummaryRow } from "./summary.ts";

// Where histories come from
export { historiesIn, historiesOf, type RecordedHistory } from "./recorded-histories.ts";
