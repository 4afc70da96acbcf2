/** Changed prompts, line by line. */
import { canonicalHash, canonicalJson, type LlmRequest, type Payload } from "@stet/core";
import type { SourcePosition } from "@stet/diagram";
import { createTwoFilesPatch } from "diff";
import { placeOf } from "./source-place.ts";
import type { DriftedCall } from "./watched-replay.ts";

/** A model call that today's code asks otherwise than was recorded. */
export interface PromptChange {
  readonly eventId: number;
  readonly operation: string;
  readonly label?: string;
  readonly at?: SourcePosition;
  /** From what was recorded to what would be asked, as a unified diff. Absent when prompts are not recorded as they are. */
  readonly diff?: string;
}

/** What changed in one call. */
export function promptChangeOf({ recorded, today, site }: DriftedCall): PromptChange {
  const { id: eventId, operation, label, request, promptHash } = recorded;
  const at = placeOf(site);
  const isWhole = canonicalHash(request) === promptHash; // what was kept back of one is not to be told of the other
  return {
    eventId,
    operation,
    ...(label !== undefined && { label }),
    ...(at !== undefined && { at }),
    ...(isWhole && { diff: diffOf(textOf(request), textOf(today.request)) }),
  };
}

function diffOf(before: string, after: string): string {
  const [, ...lines] = createTwoFilesPatch("recorded", "today", before, after, "", "", { context: 3 }).split("\n");
  return lines.join("\n"); // without the rule above the file names
}

/** A request as people read it: what is said, and then the form of the answer. */
function textOf({ messages, texts, ...form }: LlmRequest): string {
  const said = messages.map(({ role, content, ...rest }) => `[${role}]\n${content}\n${formOf(rest)}`);
  const embedded = (texts ?? []).map((text) => `[text]\n${text}\n`);
  const asked = formOf(form);
  const whole = [...said, ...embedded, ...(asked === "" ? [] : ["[form]\n", asked])].join("");
  return whole.replaceAll(fenceMark, "<$1>");
}

/** What `fenced` makes of the text that it stands around: it changes with it, and says nothing. */
const fenceMark = /<(\/?text)-[\w-]{8}>/g;

/** In the order of the members, which does not count. */
function formOf(members: object): string {
  if (Object.keys(members).length === 0) return "";
  return `${JSON.stringify(JSON.parse(canonicalJson(members as Payload)), null, 2)}\n`;
}
