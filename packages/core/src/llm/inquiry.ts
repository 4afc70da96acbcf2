/**
 * An inquiry: one question to a model, asked again with the reason when its answer cannot be used, a bounded number of
 * times, each time as a question of its own in history. So a crash between two of them pays for neither twice.
 *
 * What history shows to have been accepted, refused or cut stands, whatever the code of today would make of it.
 */
import { answerBound } from "../budget.ts";
import { assertName } from "../definitions.ts";
import { durationMs } from "../duration.ts";
import type { DurablePromise } from "../durable-promise.ts";
import { ConfigurationError, LlmError, LlmOutputError } from "../errors.ts";
import type { LlmCompleted, LlmRequested, RecordedLlmOptions } from "../events.ts";
import { canonicalHash } from "../payload.ts";
import { shown } from "../options.ts";
import type { Recorder, Verdict } from "../recorder.ts";
import { toPayload } from "../to-payload.ts";
import type { Reading } from "./answers.ts";
import { withContext } from "./context-injection.ts";
import { cacheScopeOf } from "./cache-scope.ts";
import type { LlmAnswer, LlmMessage, LlmRequest } from "./conversation.ts";
import type { LlmOptions, TextOptions } from "./operations.ts";
import { refusal } from "./prompts.ts";

/** What to ask, and what to make of the answer. */
export interface Inquiry<Value> {
  readonly operation: string;
  readonly messages: readonly LlmMessage[];
  readonly options: TextOptions | undefined;
  /** What else belongs to the request. */
  readonly form?: Omit<LlmRequest, "messages">;
  readonly read: (answer: LlmAnswer) => Reading<Value>;
  /** Reads an answer that history shows to have been accepted, though today's code would refuse it. */
  readonly readAccepted?: (answer: LlmAnswer) => Reading<Value>;
  /** Makes the last answer fit, where that is better than none and there is something to keep. */
  readonly trim?: (text: string) => (Value & string) | undefined;
}

/** Asks until there is an answer that can be used. */
export function inquire<Value>(recorder: Recorder, inquiry: Inquiry<Value>): DurablePromise<Value> {
  let asked: DurablePromise<unknown> | undefined;
  const ask = (messages: readonly LlmMessage[], refining: Refining | undefined) => {
    const question = questionOf(recorder, inquiry, messages, refining);
    asked = question;
    return question;
  };
  const outcome = untilAccepted(recorder, inquiry, ask);
  outcome.catch(() => undefined);
  return Object.assign(outcome, { cancel: (reason?: string) => asked?.cancel(reason) });
}

/** A question that refuses the answer to an earlier one. */
interface Refining {
  readonly refines: number;
  /** Whether no other may follow. */
  readonly isLast: boolean;
}

interface Said {
  readonly eventId: number;
  readonly answer: LlmAnswer;
  readonly cutOff: boolean;
}

async function untilAccepted<Value>(
  recorder: Recorder,
  inquiry: Inquiry<Value>,
  ask: (messages: readonly LlmMessage[], refining: Refining | undefined) => Promise<Said>,
): Promise<Value> {
  const { operation, options = {} } = inquiry;
  const maxAsks = options.maxAsks ?? 3;
  if (!(Number.isInteger(maxAsks) && maxAsks >= 1)) {
    throw new ConfigurationError(`Expected maxAsks of ctx.${operation} to be a whole number from 1, got ${maxAsks}`);
  }
  const { context } = options;
  let messages = context === undefined ? inquiry.messages : withContext(inquiry.messages, context, recorder);
  let refining: Refining | undefined;
  for (let asks = 1; ; asks++) {
    const { eventId, answer, cutOff } = await ask(messages, refining);
    const { text } = answer;
    if (cutOff) {
      throw new LlmError("truncated", `Expected the whole answer to ctx.${operation}, got one cut off at maxTokens`, {
        details: { kind: "truncated", text },
      });
    }
    const reading = inquiry.read(answer);
    const verdict = recorder.verdictOn(eventId) ?? verdictOf(reading, text, asks < maxAsks, inquiry);
    if (verdict === "accepted") {
      const accepted = "value" in reading ? reading : (inquiry.readAccepted?.(answer) ?? reading);
      if ("value" in accepted) return accepted.value;
    }
    if (typeof verdict === "object") {
      recorder.note({ kind: "LlmAnswerTrimmed", source: eventId, text: verdict.trimmedTo });
      return verdict.trimmedTo as Value & string;
    }
    const problem = "problem" in reading ? reading.problem : "it was refused when it was recorded";
    if (verdict !== "refined") {
      recorder.note({ kind: "LlmAnswerRefused", source: eventId, problem });
      throw new LlmOutputError(
        `Expected a usable answer to ctx.${operation} in ${asks} question${asks === 1 ? "" : "s"}, got none: ${problem}`,
        text,
      );
    }
    refining = { refines: eventId, isLast: asks + 1 === maxAsks };
    messages = [...messages, { role: "assistant", content: text }, { role: "user", content: refusal(problem) }];
  }
}

function verdictOf<Value>(
  reading: Reading<Value>,
  text: string,
  mayAskAgain: boolean,
  { trim }: Inquiry<Value>,
): Verdict {
  if ("value" in reading) return "accepted";
  if (mayAskAgain) return "refined";
  const trimmed = trim?.(text);
  return trimmed === undefined ? "givenUp" : { trimmedTo: trimmed };
}

function questionOf(
  recorder: Recorder,
  { operation, options = {}, form }: Inquiry<unknown>,
  messages: readonly LlmMessage[],
  refining: Refining | undefined,
): DurablePromise<Said> {
  const { label } = options;
  const recorded = recordedOptions(operation, options, refining);
  const request = requestOf(messages, form, options, recorder);
  const body: LlmRequested = {
    kind: "LlmRequested",
    operation,
    promptHash: canonicalHash(request),
    request,
    ...(Object.keys(recorded).length > 0 && { options: recorded }),
    ...(label !== undefined && { label }),
    ...(refining !== undefined && { refines: refining.refines }),
  };
  return recorder.ask<Said>({
    body,
    read: (event) => {
      const { source, result, finishReason } = event as LlmCompleted;
      return { eventId: source, answer: result, cutOff: finishReason === "length" };
    },
  });
}

/** The last word of a model that was refused is never a kept one: an answer that helps nobody would be given for ever. */
function recordedOptions(operation: string, options: TextOptions, refining: Refining | undefined): RecordedLlmOptions {
  const { timeout, priority, cache, stream = false } = options;
  if (priority !== undefined && !Number.isInteger(priority)) {
    throw new ConfigurationError(`Expected priority of ctx.${operation} to be a whole number, got ${shown(priority)}`);
  }
  if (typeof stream !== "boolean") assertName(stream, `stream of ctx.${operation}`);
  const scope = refining?.isLast === true ? undefined : cacheScopeOf(cache, operation);
  return {
    ...(timeout !== undefined && { timeoutMs: durationMs(timeout, `timeout of ctx.${operation}`) }),
    ...(priority !== undefined && { priority }),
    ...(scope !== undefined && { cache: scope }),
    ...(stream !== false && { stream }),
  };
}

function requestOf(
  messages: readonly LlmMessage[],
  form: Inquiry<unknown>["form"],
  { model, temperature, maxTokens: asked, vendor }: LlmOptions,
  { name, payloadLimit, started }: Recorder,
): LlmRequest {
  const maxTokens = asked ?? (form?.texts === undefined ? answerBound(started?.budget) : undefined);
  const request = {
    messages,
    ...form,
    ...(model !== undefined && { model }),
    ...(temperature !== undefined && { temperature }),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(vendor !== undefined && { vendor }),
  };
  return toPayload(request, "request to the model of", name, payloadLimit) as LlmRequest;
}
