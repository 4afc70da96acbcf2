/** Runs an orchestration with a world outside that answers as it likes, and keeps what is recorded. */
import type { AnyOrchestration, HistoryEvent, LlmRequested, Payload } from "@stet/core";
import { answer, cancel, event, given, start, type TestMessage } from "@stet/testing";

const inputs: readonly Payload[] = [
  "",
  "none",
  "abc",
  "left-right",
  2,
  5,
  ["a", "skip", "b"],
  [
    ["a", "skip"],
    ["b", "stop"],
  ],
];
const results: readonly Payload[] = [
  "ok",
  "",
  7,
  true,
  null,
  { id: "a", price: 0 },
  { id: "a", price: 5 },
  { id: "b", price: 500, tool: "ship" },
];
const words: readonly Payload[] = ["stop", "", "word", { ok: true }, { ok: false }];

/**
 * The history of one execution. Each choice is a number of the list; when it is used up, what is there is enough.
 */
export async function randomRun(orchestration: AnyOrchestration, choices: readonly number[]): Promise<HistoryEvent[]> {
  let next = 0;
  const choose = <Value>(from: readonly Value[]): Value => from[(choices[next++] ?? 0) % from.length] as Value;
  let turn = await given(orchestration).when(start(choose(inputs)));
  while (turn.status === "waiting" && next < choices.length) {
    const messages = possible(turn.history, choose);
    if (messages.length === 0) break;
    turn = await turn.when(choose(messages));
  }
  return [...turn.history];
}

/** What the world may say next. */
function possible(history: readonly HistoryEvent[], choose: <Value>(from: readonly Value[]) => Value): TestMessage[] {
  const settled = new Set(history.flatMap((each) => ("source" in each ? [each.source] : [])));
  const asked = history.filter(({ id }) => !settled.has(id));
  const messages = asked.flatMap((each): TestMessage[] => {
    switch (each.kind) {
      case "ActivityScheduled":
        return mostly(answer.activityCompleted(each.id, choose(results)), answer.activityFailed(each.id, "it broke"));
      case "SubOrchestrationScheduled":
        return mostly(answer.childCompleted(each.id, choose(results)), answer.childFailed(each.id, "it broke"));
      case "TimerCreated":
        return [answer.timerFired(each.id)];
      case "EventAwaited":
        return [event(each.name, choose(words))];
      case "LlmRequested":
        return mostly(answer.said(each.id, said(each, choose)), answer.modelFailed(each.id, "it is away"));
      default:
        return [];
    }
  });
  const isCancelled = history.some(({ kind }) => kind === "CancelRequested");
  return messages.length > 0 && !isCancelled && choose([0, 0, 0, 0, 0, 0, 0, 1]) === 1 ? [cancel()] : messages;
}

/** One of eight goes wrong. */
function mostly(well: TestMessage, badly: TestMessage): TestMessage[] {
  return [well, well, well, well, well, well, well, badly];
}

/** Something that fits most of the time. */
function said({ operation, request }: LlmRequested, choose: <Value>(from: readonly Value[]) => Value): string {
  if (choose([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]) === 1) return "who knows";
  switch (operation) {
    case "ifTrue":
      return choose(["true", "false"]);
    case "classify":
      return choose(
        ["refund", "bug", "other", "calm", "even"].filter((word) => JSON.stringify(request).includes(word)),
      );
    case "extract":
      return '{"order":"A-1"}';
    case "extractFeatures":
      return '{"name":"Ada"}';
    case "generateStructured":
      return '{"action":"refund"}';
    case "sentiment":
      return '{"label":"neutral","confidence":1}';
    default:
      return "some words";
  }
}
