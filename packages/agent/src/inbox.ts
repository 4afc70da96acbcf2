/**
 * The inbox of an agent: one external event name for all that people tell it, so that what was said first is heard first.
 * It is read where it can change something: before a question, before an action, and while the agent waits for people.
 */
import { InputError, isStetError, type Payload } from "@stet/core";
import { check } from "@stet/core/internal";
import { z } from "zod";
import { type AgentWait, inboxName } from "./agent-wait.ts";
import { type Run, stand, tell } from "./run.ts";

/** What somebody decided about an action. */
export type Decision = {
  readonly kind: "decision";
  readonly actionId: string;
  readonly verdict: "approve" | "reject" | "takeOver";
  readonly by: string;
  readonly reason?: string | undefined;
  /** Arguments to run it with, instead of the model's. */
  readonly arguments?: Payload | undefined;
  /** What came of it, of an action that was taken over. */
  readonly result?: Payload | undefined;
};

/** What people tell an agent. */
export type InboxNote =
  | Decision
  | { readonly kind: "message"; readonly text: string; readonly by?: string | undefined }
  | { readonly kind: "goal"; readonly goal: string; readonly by: string }
  | { readonly kind: "pause" | "resume"; readonly by: string };

const who = z.string().min(1).max(200);
const words = z.string().min(1).max(100_000);

const anyNote: z.ZodType<InboxNote> = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("decision"),
    actionId: z.string(),
    verdict: z.enum(["approve", "reject", "takeOver"]),
    by: who,
    reason: words.optional(),
    arguments: z.json().optional(),
    result: z.json().optional(),
  }),
  z.object({ kind: z.literal("message"), text: words, by: who.optional() }),
  z.object({ kind: z.literal("goal"), goal: words, by: who }),
  z.object({ kind: z.enum(["pause", "resume"]), by: who }),
]);

/** @throws InputError when agents would not understand it. */
export function checkedNote(note: InboxNote): InboxNote {
  const checked = check(anyNote, note, "what people tell an agent");
  if ("value" in checked) return checked.value;
  throw new InputError(
    `Expected what ${note.by ?? "somebody"} tells an agent to be understood, got: ${checked.problem}`,
  );
}

/** Lets what has come take effect, and does not go on before the agent may. */
export async function checkpoint(run: Run): Promise<void> {
  for (let note = received(run); note !== undefined; note = received(run)) heed(run, note);
  while (run.memory.paused !== undefined) {
    stand(run, "paused");
    const note = await nextNote(run, { paused: run.memory.paused });
    if (typeof note === "object") heed(run, note);
  }
}

/** The next note, or `"late"` when none has come by then. Whoever asks for it does with it what is to be done. */
export async function nextNote(
  run: Run,
  waiting: Omit<AgentWait, "agent" | "iteration" | "costUsd">,
  until?: number,
): Promise<InboxNote | "late"> {
  const { ctx, spec, memory } = run;
  const details: AgentWait = {
    agent: spec.name,
    iteration: memory.iteration + 1,
    costUsd: memory.usage.usd + ctx.usage().usd,
    ...waiting,
  };
  for (;;) {
    const known = received(run);
    if (known !== undefined) return known;
    try {
      const wait = ctx.waitForEvent<Payload>(inboxName, {
        details,
        ...(until !== undefined && { timeout: Math.max(0, until - ctx.now()) }),
      });
      const read = readNote(run, await run.within(wait));
      if (read !== undefined) return read;
    } catch (error) {
      if (isStetError(error, "timeout")) return "late";
      throw error;
    }
  }
}

/** Does what a note asks for, where nothing else waits for it. */
export function heed(run: Run, note: InboxNote): void {
  const { memory, ctx } = run;
  switch (note.kind) {
    case "message":
      return hear(run, `A message from ${note.by ?? "the people in charge"}: ${note.text}`);
    case "goal":
      memory.goal = note.goal;
      return hear(run, `${note.by} has changed the goal. It is now: ${note.goal}`);
    case "pause":
      memory.paused ??= { by: note.by, since: ctx.now() };
      return tell(run, { kind: "heard", text: `paused by ${note.by}` });
    case "resume":
      delete memory.paused;
      return tell(run, { kind: "heard", text: `resumed by ${note.by}` });
    case "decision":
      return tell(run, {
        kind: "ignored",
        why: `Expected a decision on an action that waits for one, got ${note.verdict} of ${note.actionId} by ${note.by}`,
      });
  }
}

/** Keeps a text for the next question. */
function hear(run: Run, text: string): void {
  run.memory.news.push(text);
  tell(run, { kind: "heard", text });
}

/** The oldest note that is there already. */
function received(run: Run): InboxNote | undefined {
  for (;;) {
    const taken = run.ctx.tryReceive<Payload>(inboxName);
    if (taken === undefined) return undefined;
    const read = readNote(run, taken.data);
    if (read !== undefined) return read;
  }
}

function readNote(run: Run, data: Payload): InboxNote | undefined {
  const { success, data: read, error } = anyNote.safeParse(data);
  if (success) return read;
  tell(run, { kind: "ignored", why: `Expected a note that agents understand, got: ${z.prettifyError(error)}` });
  return undefined;
}
