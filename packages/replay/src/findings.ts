/** What differs in the same way at the same place is said once. */
import { adviceOn, type Advice } from "./advice.ts";
import type { Change, Divergence } from "./divergence.ts";
import type { PromptChange } from "./prompt-change.ts";
import type { HistoryVerdict } from "./verdict.ts";

/** A difference, as often as it was found. */
export type Finding = Difference & {
  /** Absent for histories that cannot be read. */
  readonly orchestration?: string;
  readonly version?: string;
  /** How many histories show it. */
  readonly count: number;
  /** How many of those would go on with this code. */
  readonly open: number;
  /** Some of the instances. */
  readonly instances: readonly string[];
};

/** What differs, as the first history shows it, and what to do about it. */
export type Difference =
  | { readonly finding: "diverged"; readonly divergence: Divergence; readonly advice: Advice }
  | { readonly finding: "drifted"; readonly prompt: PromptChange }
  | { readonly finding: "missing" }
  | { readonly finding: "unreadable"; readonly error: string };

interface Entry {
  readonly difference: Difference;
  readonly head: Pick<HistoryVerdict, "orchestration" | "version">;
  count: number;
  open: number;
  readonly instances: string[];
}

/** Instances that are named with a finding. */
const mostInstances = 5;

/** Gathers differences. */
export class Findings {
  readonly #entries = new Map<string, Entry>();

  /** @param changeOf - Asked once for each finding: what explains a divergence. */
  async add(verdict: HistoryVerdict, changeOf: () => Promise<Change>): Promise<void> {
    const { orchestration, version } = verdict;
    const head = {
      ...(orchestration !== undefined && { orchestration }),
      ...(version !== undefined && { version }),
    };
    const note = async (key: readonly unknown[], differenceOf: () => Difference | Promise<Difference>) => {
      const text = JSON.stringify([orchestration, version, verdict.verdict, ...key]);
      const known = this.#entries.get(text);
      const entry = known ?? { difference: await differenceOf(), head, count: 0, open: 0, instances: [] };
      this.#entries.set(text, entry);
      entry.count++;
      if (verdict.isOpen) entry.open++;
      if (entry.instances.length < mostInstances) entry.instances.push(verdict.instanceId);
    };
    switch (verdict.verdict) {
      case "identical":
        break;
      case "diverged": {
        const { divergence } = verdict;
        return note(shapeOf(divergence), async () => ({
          finding: "diverged",
          divergence,
          advice: adviceOn({ ...divergence, ...head }, await changeOf()),
        }));
      }
      case "drifted":
        for (const prompt of verdict.prompts) {
          await note([prompt.operation, prompt.label, prompt.at], () => ({ finding: "drifted", prompt }));
        }
        break;
      case "missing":
        return note([], () => ({ finding: "missing" }));
      case "unreadable":
        return note([], () => ({ finding: "unreadable", error: verdict.error }));
    }
  }

  /** Most frequent first. */
  get list(): readonly Finding[] {
    return [...this.#entries.values()]
      .sort((a, b) => b.count - a.count)
      .map(({ difference, head, count, open, instances }) => ({ ...head, count, open, instances, ...difference }));
  }
}

/** The same for differences that only their data tells apart. */
function shapeOf({ expected, actual, why, at, after }: Divergence): readonly unknown[] {
  return [why, at, after, shape(expected), shape(actual)];
}

/** `ActivityScheduled(name charge, input {...})` without the input. */
function shape(described = ""): string {
  return described.replace(/, (instanceId|input|data|value|output|error|reason|source) .*$/, "");
}
