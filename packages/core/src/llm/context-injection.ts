/**
 * Telling a model where the program stands: who asks, what it has in its state, and what has happened to it lately. All of
 * it is read from recorded facts, so a replay tells the same, letter by letter.
 */
import { ConfigurationError } from "../errors.ts";
import { assertOptions, type NamesOf, shown } from "../options.ts";
import { excerptOf, type Fact } from "../recent-facts.ts";
import type { Recorder } from "../recorder.ts";
import type { LlmMessage } from "./conversation.ts";
import { contextPrompt } from "./prompts.ts";

/** What a model is told about the orchestration that asks it. Name, version, instance and execution always are. */
export interface ContextOptions {
  /** Timers, external events, sub-orchestrations, earlier model calls and cancellations. @default true */
  readonly includeHistory?: boolean;
  /** Answers and failures of activities. @default true */
  readonly includeActivityResults?: boolean;
  /** The state that `ctx.state` holds. @default true */
  readonly includeState?: boolean;
  /** What else the model should know. */
  readonly customContext?: string;
  /**
   * Most tokens of what is told, four bytes each. What happened longest ago is left out first, then state, and the custom
   * text is cut last.
   *
   * @default 2000
   */
  readonly maxContextTokens?: number;
}

const names: NamesOf<ContextOptions> = {
  includeHistory: true,
  includeActivityResults: true,
  includeState: true,
  customContext: true,
  maxContextTokens: true,
};

const bytesPerToken = 4;

/** The conversation with what the model should know before its last message. */
export function withContext(
  messages: readonly LlmMessage[],
  options: ContextOptions,
  recorder: Recorder,
): readonly LlmMessage[] {
  const told: LlmMessage = { role: "user", content: contextPrompt(contextOf(options, recorder)) };
  return [...messages.slice(0, -1), told, ...messages.slice(-1)];
}

function contextOf(options: ContextOptions, recorder: Recorder): string {
  assertOptions(options, names, "context");
  const { includeHistory = true, includeActivityResults = true, includeState = true } = options;
  const { customContext, maxContextTokens = 2000 } = options;
  if (!(Number.isInteger(maxContextTokens) && maxContextTokens >= 1)) {
    throw new ConfigurationError(
      `Expected maxContextTokens to be a whole number from 1, got ${shown(maxContextTokens)}`,
    );
  }
  const { name, version, identity, execution } = recorder;
  const text = new CappedText(maxContextTokens * bytesPerToken);
  text.addCut(`Orchestration ${name}, version ${version}, instance ${identity}, execution ${execution}.`);
  if (customContext !== undefined) text.addCut(customContext);
  if (includeState) {
    const entries = Array.from(recorder.state, ([key, value]) => `- ${key}: ${excerptOf(value)}`);
    text.addNewest("Its state:", entries, "- (other keys are left out)");
  }
  const { facts } = recorder.past;
  const known = facts.list();
  const wanted = known.filter(({ kind }) => (kind.startsWith("Activity") ? includeActivityResults : includeHistory));
  const forgotten = facts.count > known.length;
  text.addNewest(
    "What has happened, oldest first:",
    wanted.map(inWords),
    "- (what came before is left out)",
    forgotten,
  );
  return text.text;
}

/** Paragraphs that together stay within a number of bytes. */
class CappedText {
  text = "";
  #room: number;

  constructor(bytes: number) {
    this.#room = bytes;
  }

  /** As much of the paragraph as there is room for. */
  addCut(paragraph: string): void {
    const whole = this.#separated(paragraph);
    const bytes = Buffer.from(whole);
    this.#add(bytes.length <= this.#room ? whole : wholeCharacters(bytes.subarray(0, this.#room)));
  }

  /** The heading and the last of the lines, as many as there is room for, with a remark when some are missing. */
  addNewest(heading: string, lines: readonly string[], remark: string, someAreMissing = false): void {
    if (lines.length === 0) return;
    const all = this.#separated([heading, ...(someAreMissing ? [remark] : []), ...lines].join("\n"));
    if (Buffer.byteLength(all) <= this.#room) return this.#add(all);
    const opening = this.#separated(`${heading}\n${remark}`);
    let room = this.#room - Buffer.byteLength(opening);
    let first = lines.length;
    for (; first > 0; first--) {
      room -= Buffer.byteLength(lines[first - 1] as string) + 1;
      if (room < 0) break;
    }
    if (first < lines.length) this.#add([opening, ...lines.slice(first)].join("\n"));
  }

  #separated(paragraph: string): string {
    return this.text === "" ? paragraph : `\n\n${paragraph}`;
  }

  #add(text: string): void {
    this.text += text;
    this.#room -= Buffer.byteLength(text);
  }
}

/** UTF-8 that may end in the middle of a character, without that character. */
function wholeCharacters(bytes: Buffer): string {
  return new TextDecoder().decode(bytes, { stream: true });
}

function inWords({ kind, name, value, excerpt }: Fact): string {
  const told = excerpt ?? (value === undefined ? "nothing" : JSON.stringify(value));
  switch (kind) {
    case "ActivityCompleted":
      return `- activity ${name} answered ${told}`;
    case "ActivityFailed":
      return `- activity ${name} failed: ${told}`;
    case "SubOrchestrationCompleted":
      return `- sub-orchestration ${name} answered ${told}`;
    case "SubOrchestrationFailed":
      return `- sub-orchestration ${name} failed: ${told}`;
    case "LlmCompleted":
      return `- the model answered ${name}: ${told}`;
    case "LlmFailed":
      return `- the model failed to answer ${name}: ${told}`;
    case "EventReceived":
      return `- event ${name} came with ${told}`;
    case "TimerFired":
      return "- a timer fired";
    case "CancelRequested":
      return `- cancellation was asked for: ${told}`;
  }
}
