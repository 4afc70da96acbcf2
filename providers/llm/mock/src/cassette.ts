/**
 * Cassettes: a conversation with a real model is recorded to a file once, and replayed from it in CI. A question is known
 * by all that is asked and by nothing else: not by its operation, its label or its instance.
 */
import {
  canonicalHash,
  ConfigurationError,
  type LlmCallOptions,
  LlmError,
  type LlmProvider,
  type LlmRequest,
  type Payload,
} from "@stet/core";
import { type CassetteEntry, type CassetteFile, type Outcome, readCassette, writeCassette } from "./cassette-file.ts";
import { nearestTo } from "./nearest-question.ts";
import { assertWanted, stream } from "./waiting.ts";

/** Whether a cassette is recorded, and from whom. */
export interface CassetteOptions {
  /** The model to be recorded. It is made only when recording, so a replay needs no key. */
  readonly live?: () => LlmProvider;
  /** Asks `live` and writes down what it says, in place of what the file held. @default false */
  readonly record?: boolean;
}

/**
 * A model that says what another one said before, word for word.
 *
 * The answers to one question are given in the order in which they were recorded, and the last one stays. A question that
 * the file does not hold fails with an `LlmError` of kind `bad_request` that shows how it differs from the nearest one.
 * Failures are recorded too, except those that a repetition may mend.
 *
 * @param file - A JSON file, to be kept with the tests.
 * @example
 * ```ts
 * import { openai } from "@stet/openai";
 *
 * const llm = cassette("test/triage.cassette.json", {
 *   live: () => openai({ model: "gpt-5" }),
 *   record: process.env["RECORD"] === "1",
 * });
 * ```
 * @throws ConfigurationError when there is no such file, or it is no cassette, or nobody to record is given.
 */
export function cassette(file: string, { live, record = false }: CassetteOptions = {}): LlmProvider {
  if (!record) return replaying(file, readCassette(file));
  if (live === undefined) {
    throw new ConfigurationError(`Expected the cassette ${file} to be given a live model to record, got none`);
  }
  return recording(file, live());
}

function recording(file: string, live: LlmProvider): LlmProvider {
  const { name, model, capabilities } = live;
  const entries: (CassetteEntry | undefined)[] = []; // in the order of the questions, whichever is answered first
  const save = (): void => {
    const answered = entries.filter((entry) => entry !== undefined);
    writeCassette(file, {
      cassette: 1,
      name,
      model,
      capabilities,
      embeds: live.embed !== undefined,
      entries: answered,
    });
  };
  const recorded = async <Answer>(
    question: Omit<CassetteEntry, "outcome">,
    ask: () => Promise<Answer>,
    outcomeOf: (answer: Answer) => Outcome,
  ): Promise<Answer> => {
    const at = entries.push(undefined) - 1;
    const keep = (outcome: Outcome): void => {
      entries[at] = { ...question, outcome };
      save();
    };
    try {
      const answer = await ask();
      keep(outcomeOf(answer));
      return answer;
    } catch (error) {
      if (error instanceof LlmError && !error.retryable && error.kind !== "cancelled") {
        const { kind, message, status, usage } = error;
        keep({ failed: { kind, message, ...(status && { status }), ...(usage && { usage }) } });
      }
      throw error;
    }
  };
  save();
  return {
    name,
    model,
    capabilities,
    complete: (request, options) =>
      recorded(
        questionOf(request, options),
        () => live.complete(request, options),
        (answered) => ({ answered }),
      ),
    ...(live.embed !== undefined && {
      embed: (texts, options) =>
        recorded(
          questionOf(toRequest(texts, options.model), options),
          () => live.embed?.(texts, options) ?? Promise.reject(new TypeError("Expected the live model to embed")),
          (embedded) => ({ embedded }),
        ),
    }),
  };
}

function replaying(file: string, { name, model, capabilities, embeds, entries }: CassetteFile): LlmProvider {
  const answers = new Map<string, CassetteEntry[]>();
  for (const entry of entries) answers.set(keyOf(entry.asked), [...(answers.get(keyOf(entry.asked)) ?? []), entry]);
  const outcomeOf = (request: LlmRequest, options: LlmCallOptions): Outcome => {
    assertWanted(options.signal);
    const known = answers.get(keyOf(request)) ?? [];
    const entry = known.length > 1 ? known.shift() : known[0];
    if (entry === undefined) throw unheardOf(file, questionOf(request, options), entries);
    if ("failed" in entry.outcome) {
      const { kind, message, ...facts } = entry.outcome.failed;
      throw new LlmError(kind, message, facts);
    }
    return entry.outcome;
  };
  return {
    name,
    model,
    capabilities,
    complete: async (request, options) => {
      const outcome = outcomeOf(request, options);
      if (!("answered" in outcome)) throw otherwise(file, "an answer");
      if (options.onDelta) await stream(outcome.answered.answer.text, options.onDelta, options.signal);
      return outcome.answered;
    },
    ...(embeds && {
      embed: async (texts, options) => {
        const outcome = outcomeOf(toRequest(texts, options.model), options);
        if (!("embedded" in outcome)) throw otherwise(file, "vectors");
        return outcome.embedded;
      },
    }),
  };
}

/** Texts of which vectors are wanted, as a question like others. */
function toRequest(texts: readonly string[], model: string | undefined): LlmRequest {
  return {
    messages: texts.map((content) => ({ role: "user", content })),
    ...(model !== undefined && { model }),
    vendor: { embed: true },
  };
}

function questionOf(asked: LlmRequest, { operation, label }: LlmCallOptions): Omit<CassetteEntry, "outcome"> {
  return { operation, ...(label !== undefined && { label }), asked };
}

function keyOf(asked: LlmRequest): string {
  const plain: Payload = JSON.parse(JSON.stringify(asked));
  return canonicalHash(plain);
}

function unheardOf(
  file: string,
  { operation, label, asked }: Omit<CassetteEntry, "outcome">,
  entries: readonly CassetteEntry[],
): LlmError {
  const what = `${operation}${label === undefined ? "" : ` (label ${label})`}`;
  const difference = nearestTo(asked, entries);
  const near = difference === undefined ? "" : `. The nearest differs so (- recorded, + asked):\n${difference}`;
  return new LlmError(
    "bad_request",
    `Expected the cassette ${file} to hold an answer to ${what}, got none among ${entries.length}: record it again when the change is meant${near}`,
  );
}

function otherwise(file: string, wanted: string): LlmError {
  return new LlmError(
    "bad_request",
    `Expected the cassette ${file} to hold ${wanted} to this question, got another thing`,
  );
}
