/**
 * The account of the model calls: holds what history says against what the tally says.
 */
import type { TicketRecord } from "./records.ts";
import { type Call, keyOf, type Kill, type Tally } from "./tally.ts";

/** What the model calls come to. Calls are named by their idempotency keys. */
export interface CallAccount {
  /** Calls that were really made, by the tally. */
  readonly made: BeforeAndAfter;
  /** Answers in history. */
  readonly recorded: BeforeAndAfter;
  /** Made again although the answer was recorded at the kill. This must not be. */
  readonly paidTwice: readonly string[];
  /** Without an answer at the kill, and therefore made again. */
  readonly cutOff: readonly string[];
  /** Those of them whose answer had come, a moment too late to be recorded. */
  readonly tooLate: readonly string[];
  /** Made again for other reasons: an error, or a worker that somebody else stopped. */
  readonly retried: readonly string[];
  /** Recorded answers for which the tally has no call. This must not be. */
  readonly unexplained: readonly string[];
  /** Tokens of the answers recorded before the kill. */
  readonly tokensBefore: number;
}

/** Counts on both sides of the last kill. */
export interface BeforeAndAfter {
  readonly before: number;
  readonly after: number;
}

/** An answer that history holds. */
interface Answer {
  readonly key: string;
  readonly tokens: number;
  /** Whether it was recorded when this kill came. */
  readonly wasThere: (kill: Kill) => boolean;
}

/** See {@link CallAccount}. */
export function callAccountOf(records: readonly TicketRecord[], { kills, calls }: Tally): CallAccount {
  const lastKill = kills.at(-1);
  const answers = answersIn(records);
  const answersBefore = answers.filter(({ wasThere }) => lastKill !== undefined && wasThere(lastKill));
  const asked = [...calls.values()].flatMap((call) => call.asked);
  const askedBefore = asked.filter((line) => lastKill !== undefined && line < lastKill.line);

  const paidTwice = answers
    .filter(({ key, wasThere }) => kills.some((kill) => wasThere(kill) && isAskedAfter(kill, calls.get(key))))
    .map(({ key }) => key);
  const again = [...calls].filter(([key, call]) => call.asked.length > 1 && !paidTwice.includes(key));
  const cutOff = again.filter(([, call]) => kills.some((kill) => isOpenAt(kill, call) && isAskedAfter(kill, call)));
  const tooLate = cutOff.filter(([, call]) => call.answered.length > 1);
  const keysOf = (some: typeof again) => some.map(([key]) => key);
  return {
    made: { before: askedBefore.length, after: asked.length - askedBefore.length },
    recorded: { before: answersBefore.length, after: answers.length - answersBefore.length },
    paidTwice,
    cutOff: keysOf(cutOff),
    tooLate: keysOf(tooLate),
    retried: keysOf(again.filter((call) => !cutOff.includes(call))),
    unexplained: answers.filter(({ key }) => !calls.has(key)).map(({ key }) => key),
    tokensBefore: answersBefore.reduce((sum, { tokens }) => sum + tokens, 0),
  };
}

function answersIn(records: readonly TicketRecord[]): Answer[] {
  return records.flatMap(({ instanceId, events }) =>
    events.flatMap((event): Answer[] => {
      if (event.kind !== "LlmCompleted") return [];
      return [
        {
          key: keyOf(instanceId, event.source),
          tokens: event.usage.inputTokens + event.usage.outputTokens,
          wasThere: ({ lastEventIds }) => event.id <= (lastEventIds[instanceId] ?? 0),
        },
      ];
    }),
  );
}

/** More calls made than known to have failed. */
function isOpenAt({ line }: Kill, { asked, failed }: Call): boolean {
  const before = (lines: readonly number[]) => lines.filter((number) => number < line).length;
  return before(asked) > before(failed);
}

function isAskedAfter({ line }: Kill, call: Call | undefined): boolean {
  return call !== undefined && call.asked.some((number) => number > line);
}
