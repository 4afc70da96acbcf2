/**
 * What an agent does, as lines for a terminal. Thoughts and results come from outside, so whatever could move a cursor or
 * forge a line is taken out of them.
 */
import { styleText, stripVTControlCharacters } from "node:util";
import type { InstanceHandle, Payload } from "@stet/core";
import type { AgentEvent } from "./run.ts";

/**
 * What an agent does, from its beginning and then as it happens, until it has ended.
 *
 * @example
 * ```ts
 * for await (const event of agentEvents(handle)) console.log(narrate(event));
 * ```
 */
export async function* agentEvents(
  handle: Pick<InstanceHandle, "outputs">,
  options: { readonly signal?: AbortSignal } = {},
): AsyncGenerator<AgentEvent> {
  for await (const { data, stream } of handle.outputs(options)) {
    if (stream === undefined && isAgentEvent(data)) yield data;
  }
}

/**
 * One event as it is shown to people: one line, and one more for each planned action. Actions are numbered by iteration and
 * place, as in `2.1`; texts are cut after 160 characters.
 *
 * @param options.color - Whether a terminal shows it. @default false
 */
export function narrate(event: AgentEvent, { color = false }: { readonly color?: boolean } = {}): string {
  const paint: Paint = (style, text) => (color ? styleText(style, text, { validateStream: false }) : text);
  return linesOf(event, paint).join("\n");
}

type Style = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";
type Paint = (style: Style, text: string) => string;

/** Longest text of a line. */
const longest = 160;

function linesOf(event: AgentEvent, paint: Paint): string[] {
  switch (event.kind) {
    case "planned": {
      const { iteration, thought, actions, costUsd } = event;
      const head = `${paint("bold", `${iteration}`)}  ${plain(thought)}`.trimEnd();
      return [
        costUsd === 0 ? head : `${head}  ${paint("dim", dollars(costUsd))}`,
        ...actions.map(({ id, tool, arguments: args }) =>
          line(id, `${paint("cyan", plain(tool))} ${plain(json(args))}`),
        ),
      ];
    }
    case "mistaken":
      return [`${paint("bold", `${event.iteration}`)}  ${paint("red", "mistake:")} ${plain(event.problem)}`];
    case "awaited":
      return [line(event.actionId, `${paint("yellow", "waits for approval:")} ${plain(event.why)}`)];
    case "decided": {
      const { decision, by, reason } = event;
      const why = reason === undefined ? "" : `: ${plain(reason)}`;
      return [line(event.actionId, `${paint("yellow", inWords[decision] ?? plain(decision))} by ${plain(by)}${why}`)];
    }
    case "acted": {
      const { status, excerpt } = event;
      if (status === "rejected") return [line(event.actionId, paint("red", "not run"))]; // why has been said
      return [
        line(event.actionId, `${paint(status === "completed" ? "green" : "red", `${status}:`)} ${plain(excerpt)}`),
      ];
    }
    case "asked":
      return [line(event.actionId, `${paint("yellow", "asks:")} ${plain(event.question)}`)];
    case "heard":
      return [`   ${paint("yellow", "heard:")} ${plain(event.text)}`];
    case "ignored":
      return [`   ${paint("red", "ignored:")} ${plain(event.why)}`];
    case "summarised":
      return [`   ${paint("dim", `iterations up to ${event.iterations} are now a summary`)}`];
    case "ended": {
      const { outcome, summary, costUsd } = event;
      const head = `${paint(outcome === "success" ? "green" : "red", `${outcome}:`)} ${plain(summary)}`;
      return [costUsd === 0 ? head : `${head}  ${paint("dim", dollars(costUsd))}`];
    }
  }
}

const kinds: { readonly [kind in AgentEvent["kind"]]: true } = {
  planned: true,
  mistaken: true,
  awaited: true,
  decided: true,
  acted: true,
  asked: true,
  heard: true,
  ignored: true,
  summarised: true,
  ended: true,
};

const inWords: { readonly [decision: string]: string } = {
  approve: "approved",
  reject: "rejected",
  takeOver: "taken over",
};

/** Whatever else an orchestration emits is no event of an agent. */
function isAgentEvent(data: Payload): data is AgentEvent {
  if (typeof data !== "object" || data === null || Array.isArray(data)) return false;
  const { kind } = data as { readonly kind?: Payload };
  return typeof kind === "string" && Object.hasOwn(kinds, kind);
}

function line(actionId: string, text: string): string {
  return `   ${numberOf(actionId)} ${text}`;
}

/** `2.1` of `2-1-ab3f`. */
function numberOf(actionId: string): string {
  const [iteration, place] = actionId.split("-");
  return `${iteration}.${place}`;
}

function plain(text: string): string {
  const harmless = stripVTControlCharacters(text)
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, " ")
    .trim();
  return harmless.length <= longest ? harmless : `${harmless.slice(0, longest)}...`;
}

function json(value: Payload): string {
  return JSON.stringify(value);
}

function dollars(usd: number): string {
  return `$${usd < 0.01 ? usd.toFixed(4) : usd.toFixed(2)}`;
}
