/**
 * Runs programs: one orchestration that does what a {@link Program} says, the activities it calls and the model it asks.
 *
 * What a program answers is a tree of what its operations answered. Where the order of things is the scheduler's choice
 * (`races`), times and chance are part of it; where it is not, the answer depends on the program alone.
 */
import {
  activity,
  type AnyActivity,
  type AnyOrchestration,
  type DurablePromise,
  isStetError,
  LlmError,
  type LlmProvider,
  type LlmRequest,
  orchestration,
  type OrchestrationContext,
  type Payload,
} from "@stet/core";
import type { ActivityKind, Operation, Program, Question, Receiver, Step } from "./program.ts";

/** What the orchestration of a program is given. */
export interface ProgramInput {
  readonly program: Program;
  /** Tells the instances that had the same id one after another. */
  readonly life: number;
  /** Whether the answer may depend on the order in which things happen. */
  readonly races: boolean;
  readonly round?: number;
  /** What the rounds before came to. */
  readonly before?: Payload;
  readonly parentId?: string;
}

/** What an activity of a program is given, and answers. */
export interface Errand {
  readonly life: number;
  readonly value: number;
  /** Long enough to be put aside as a payload of its own. */
  readonly ballast?: string;
}

/** What runs programs. */
export function interpreter(): {
  readonly orchestration: AnyOrchestration;
  readonly activities: readonly AnyActivity[];
  readonly llm: LlmProvider;
} {
  return { orchestration: program, activities: Object.values(activities), llm: model };
}

type Cancellable = Promise<Payload> & { cancel?: (reason?: string) => void };

/** One execution of a program. */
interface Run {
  readonly ctx: OrchestrationContext;
  readonly input: ProgramInput;
  readonly round: number;
}

/** A sequence of steps with what it has begun and what it has come to. */
interface Block {
  readonly forks: Cancellable[];
  readonly trace: Payload[];
}

const program = orchestration("program", async (ctx, input: ProgramInput): Promise<Payload> => {
  const { round = 0, before = [] } = input;
  const run: Run = { ctx, input, round };
  const trace = await block(run, input.program.rounds[round] ?? []);
  return goOn(run, [before, trace]) ?? [before, trace];
});

/** Continues as new if there is another round. */
function goOn({ ctx, input, round }: Run, before: Payload): Promise<never> | undefined {
  if (round + 1 >= input.program.rounds.length) return undefined;
  return ctx.continueAsNew({ ...input, round: round + 1, before });
}

async function block(run: Run, steps: readonly Step[]): Promise<Payload> {
  const own: Block = { forks: [], trace: [] };
  await perform(run, own, steps);
  return own.trace;
}

async function perform(run: Run, own: Block, steps: readonly Step[]): Promise<void> {
  for (const step of steps) await performOne(run, own, step);
}

async function performOne(run: Run, own: Block, step: Step): Promise<void> {
  const { ctx, input } = run;
  const { forks, trace } = own;
  switch (step.do) {
    case "await":
      trace.push(await begin(run, step.op));
      return;
    case "fork":
      forks.push(begin(run, step.op));
      return;
    case "join":
      if (forks.length > 0) trace.push(await (forks[step.at % forks.length] as Cancellable));
      return;
    case "cancel":
      if (forks.length > 0) forks[step.at % forks.length]?.cancel?.("the program says so");
      return;
    case "try":
      return attempt(run, own, step);
    case "repeat":
      for (let i = 0; i < step.times; i++) await perform(run, own, step.steps);
      return;
    case "throw":
      throw new Error("thrown by the program");
    case "next":
      await goOn(run, [trace]);
      return;
    case "send":
      ctx.sendEvent(receiver(run, step.to), step.event, { from: ctx.instanceId, life: input.life, id: ctx.uuid() });
      return;
    case "dispatch":
      ctx.startOrchestration(program, childInput(run, step.program), idOption(step.id));
      return;
    case "receive":
      trace.push(ctx.tryReceive<Payload>(step.event)?.data ?? null);
      return;
    case "note":
      return note(run, own, step);
  }
}

async function attempt(run: Run, own: Block, step: Extract<Step, { do: "try" }>): Promise<void> {
  try {
    await perform(run, own, step.steps);
  } catch (error) {
    own.trace.push({ caught: codeOf(error) });
    await perform(run, own, step.caught);
  } finally {
    await perform(run, own, step.finally);
  }
}

function note({ ctx }: Run, { trace }: Block, { note: what, value }: Extract<Step, { do: "note" }>): void {
  switch (what) {
    case "status":
      return ctx.setStatus(value === 0 ? null : { value });
    case "state":
      return ctx.state.set(`key-${value % 3}`, { value, ...ballast(value) });
    case "forget":
      return ctx.state.delete(`key-${value % 3}`);
    case "emit":
      return ctx.emit({ value });
    case "log":
      return ctx.log.info("the program says so", { value });
    case "patched":
      trace.push(ctx.patched(`change-${value}`));
      return;
    case "uuid":
      trace.push(ctx.uuid());
      return;
    case "random":
      trace.push(ctx.random());
      return;
    case "now":
      trace.push(ctx.now());
      return;
  }
}

/** Begins an operation. Nobody need look at what it comes to. */
function begin(run: Run, op: Operation): Cancellable {
  const begun = operate(run, op);
  begun.catch(() => undefined);
  return begun;
}

function operate(run: Run, op: Operation): Cancellable {
  const { ctx, input } = run;
  switch (op.op) {
    case "activity":
      return perhaps(run, ctx.activity(activities[op.name], errand(input, op.value), routing(op)));
    case "timer":
      return then(ctx.timer(op.ms), () => op.ms);
    case "event": {
      const wait = ctx.waitForEvent<Payload>(op.name, {
        details: { life: input.life },
        ...(op.timeoutMs !== undefined && { timeout: op.timeoutMs }),
      });
      return then(wait, (data) => (input.races ? data : op.name));
    }
    case "child": {
      const policy = op.abandon === true ? ({ parentClosePolicy: "abandon" } as const) : {};
      const child = childInput(run, op.program);
      return ctx.subOrchestration(program, child, { ...idOption(op.id), ...policy }) as Cancellable;
    }
    case "ask":
      return ask(run, op);
    case "all":
      return asOne(Promise.all(op.of.map((each) => begin(run, each))));
    case "allSettled":
      return Promise.allSettled(op.of.map((each) => begin(run, each))).then((all) => all.map(settled));
    case "any":
      return asOne(Promise.any(op.of.map((each) => begin(run, each))));
    case "race":
      return Promise.race(op.of.map((each) => begin(run, each)));
    case "first": {
      const entrants = op.of.map((each, i) => [String(i), begin(run, each) as DurablePromise<Payload>] as const);
      return ctx.race(Object.fromEntries(entrants)).then(({ winner, value }) => [winner, value]);
    }
    case "block":
      return block(run, op.steps);
  }
}

function ask({ ctx, input }: Run, { ask: kind, value, refusals }: Extract<Operation, { op: "ask" }>): Cancellable {
  const prompt = `${kind} ${input.life} ${value} ${refusals} `;
  const options = { label: kind };
  switch (kind) {
    case "ifTrue":
      return ctx.ifTrue(prompt, options);
    case "classify":
      return ctx.classify(prompt, ["even", "odd"], options);
    case "generateStructured":
      return ctx.generateStructured(prompt, structure, options) as Cancellable;
    case "summarize":
      return ctx.summarize(prompt, { maxWords: 5 }, options);
    case "generate":
    case "unanswered":
      return ctx.generate(`${prompt}${"…".repeat(value % 5 === 0 ? 600 : 0)}`, options);
  }
}

const structure = {
  type: "object",
  properties: { life: { type: "integer" }, value: { type: "integer" } },
  required: ["life", "value"],
  additionalProperties: false,
} as const;

/** An irreversible activity whose worker died may have happened or not: without races that must make no difference. */
function perhaps({ input: { races } }: Run, call: DurablePromise<Errand>): Cancellable {
  const outcome = call.then(
    ({ value }): Payload => value,
    (error: unknown) => {
      if (isStetError(error, "outcome_unknown")) return "perhaps";
      throw error;
    },
  );
  return cancellable(races ? outcome : outcome.then(() => "perhaps"), call);
}

function then<Value>(promise: DurablePromise<Value>, read: (value: Value) => Payload): Cancellable {
  return cancellable(promise.then(read), promise);
}

function cancellable(promise: Promise<Payload>, asked: DurablePromise<unknown>): Cancellable {
  promise.catch(() => undefined);
  return Object.assign(promise, { cancel: (reason?: string) => asked.cancel(reason) });
}

/** Several may fail, and which of them first is the scheduler's choice. */
function asOne(group: Promise<Payload>): Cancellable {
  return group.catch((error: unknown) => {
    if (isStetError(error, "cancelled")) throw error;
    throw new Error("one of a group failed");
  });
}

function settled(outcome: PromiseSettledResult<Payload>): Payload {
  return outcome.status === "fulfilled" ? outcome.value : { failed: codeOf(outcome.reason) };
}

function codeOf(error: unknown): string {
  return isStetError(error) ? error.code : "error";
}

function receiver({ ctx, input }: Run, to: Receiver): string {
  switch (to) {
    case "self":
      return ctx.instanceId;
    case "parent":
      return input.parentId ?? ctx.instanceId;
    case "child":
      return `${ctx.instanceId}:${ctx.execution}:1`;
    case "nobody":
      return "nobody";
  }
}

function childInput({ ctx, input: { life, races } }: Run, child: Program): ProgramInput {
  return { program: child, life, races, parentId: ctx.instanceId };
}

function idOption(id: string | undefined): { readonly instanceId?: string } {
  return id === undefined ? {} : { instanceId: id };
}

function routing({ session, tag, totalTimeoutMs }: Extract<Operation, { op: "activity" }>) {
  return {
    ...(session !== undefined && { session }),
    ...(tag !== undefined && { tag }),
    ...(totalTimeoutMs !== undefined && { totalTimeout: totalTimeoutMs }),
  };
}

function errand({ life }: ProgramInput, value: number): Errand {
  return { life, value, ...ballast(value) };
}

function ballast(value: number): { readonly ballast?: string } {
  return value % 5 === 0 ? { ballast: `${value}`.repeat(600) } : {};
}

// The world outside

const retry = { maxAttempts: 6, initialInterval: "1s", jitter: 0 } as const;

const activities = {
  echo: activity("echo", async (_ctx, given: Errand) => given),
  flaky: activity("flaky", { retry }, async (ctx, given: Errand) => {
    if (ctx.attempt <= given.value % 3) throw new Error("not yet");
    return given;
  }),
  beats: activity("beats", { retry }, async (ctx, given: Errand) => {
    ctx.heartbeat({ attempt: ctx.attempt });
    if (ctx.attempt <= given.value % 3) throw new Error("not yet");
    return given;
  }),
  fails: activity("fails", async (_ctx, { value }: Errand): Promise<Errand> => {
    throw new Error(`failed as it should (${value})`);
  }),
  once: activity("once", { effect: "irreversible" }, async (_ctx, given: Errand) => given),
} satisfies { readonly [Kind in ActivityKind]: unknown };

/** Says what it is asked to say: the prompt names the operation, and how often the answer is to be refused. */
const model: LlmProvider = {
  name: "simulated",
  model: "simulated-1",
  capabilities: { structuredOutput: true, tools: false, streaming: false },
  complete: async (request) => ({
    answer: { text: said(request) },
    model: "simulated-1",
    usage: { inputTokens: 1, outputTokens: 1 },
    finishReason: "stop",
  }),
};

function said({ messages }: LlmRequest): string {
  const asked = messages.map(({ content }) => content).join("\n");
  const [, kind, life, value, refusals] = /(\w+) (\d+) (\d+) (\d+) /.exec(asked) ?? [];
  const refused = messages.filter(({ role }) => role === "assistant").length;
  const even = Number(value) % 2 === 0;
  if (refused < Number(refusals) && kind !== "generate") return "I would rather talk about the weather";
  switch (kind as Question) {
    case "summarize":
      return `${value}, in short.`;
    case "ifTrue":
      return String(even);
    case "classify":
      return even ? "even" : "odd";
    case "generateStructured":
      return JSON.stringify({ life: Number(life), value: Number(value) });
    case "generate":
      return `${life} ${value}`;
    case "unanswered":
      throw new LlmError("refused", "The model would rather not");
  }
}
