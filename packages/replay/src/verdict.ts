/** What is said of one history. */
import type { Divergence } from "./divergence.ts";
import type { PromptChange } from "./prompt-change.ts";

/** What replaying one history said. */
export type HistoryVerdict = {
  readonly instanceId: string;
  readonly execution: number;
  /** Absent when the history cannot be read. */
  readonly orchestration?: string;
  readonly version?: string;
  /** Whether it would go on with this code. */
  readonly isOpen: boolean;
} & Verdict;

/**
 * - `identical`: the code asks for exactly what was recorded.
 * - `drifted`: it does, but for prompts. The recorded answers stand.
 * - `diverged`: a worker with this code would block the instance.
 * - `missing`: the orchestration is not there in that version. An open instance would wait.
 * - `unreadable`: damaged, or sealed with another key.
 */
export type Verdict =
  | { readonly verdict: "identical" }
  | { readonly verdict: "drifted"; readonly prompts: readonly PromptChange[] }
  | { readonly verdict: "diverged"; readonly divergence: Divergence }
  | { readonly verdict: "missing" }
  | { readonly verdict: "unreadable"; readonly error: string };
