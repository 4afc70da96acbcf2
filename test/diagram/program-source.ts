/** Random programs of the simulation as source: what `@stet/testing` interprets, written down as a person would write it. */
import type { Operation, Program, Step } from "@stet/testing";

/** A module that exports one orchestration for each program, `program0` and so on. */
export function sourceOf(programs: readonly Program[]): string {
  const names = ["echo", "flaky", "beats", "fails", "once"];
  return [
    `import { activity, orchestration } from "@stet/core";`,
    ...names.map((name) => `const ${name} = activity("${name}", async (_ctx, value: number) => value);`),
    `const child = orchestration("child", async () => undefined);`,
    ...programs.map(orchestrationOf),
  ].join("\n");
}

function orchestrationOf({ rounds: [steps = [], ...later] }: Program, i: number): string {
  const end = later.length > 0 ? "return ctx.continueAsNew();" : "return trace;";
  return `export const program${i} = orchestration("program${i}", async (ctx): Promise<unknown> => {\n${body(steps)}\n${end}\n});`;
}

function body(steps: readonly Step[]): string {
  const world = "const trace: unknown[] = [];\nconst forks: (Promise<unknown> & { cancel?: () => void })[] = [];";
  return [world, ...steps.map(statement)].join("\n");
}

function statement(step: Step): string {
  switch (step.do) {
    case "await":
      return `trace.push(await ${expression(step.op)});`;
    case "fork":
      return `forks.push(${expression(step.op)}); forks.at(-1)?.catch(() => undefined);`;
    case "join":
      return `if (forks.length > 0) trace.push(await forks[${step.at} % forks.length]);`;
    case "cancel":
      return `forks[${step.at} % forks.length]?.cancel?.();`;
    case "try":
      return `try {\n${block(step.steps)}\n} catch {\n${block(step.caught)}\n} finally {\n${block(step.finally)}\n}`;
    case "repeat":
      return `for (let i = 0; i < ${step.times}; i++) {\n${block(step.steps)}\n}`;
    case "throw":
      return `if (trace.length >= 0) throw new Error("thrown by the program");`;
    case "next":
      return `if (trace.length > 2) await ctx.continueAsNew();`;
    case "send":
      return `ctx.sendEvent("${step.to}", "${step.event}");`;
    case "dispatch":
      return `ctx.startOrchestration(child);`;
    case "receive":
      return `trace.push(ctx.tryReceive("${step.event}"));`;
    case "note":
      return `ctx.setStatus(${step.value});`;
  }
}

function block(steps: readonly Step[]): string {
  return steps.map(statement).join("\n");
}

function expression(op: Operation): string {
  switch (op.op) {
    case "activity":
      return `ctx.activity(${op.name}, ${op.value})`;
    case "timer":
      return `ctx.timer(${op.ms})`;
    case "event":
      return `ctx.waitForEvent("${op.name}"${op.timeoutMs === undefined ? "" : `, { timeout: ${op.timeoutMs} }`})`;
    case "child":
      return `ctx.subOrchestration(child)`;
    case "ask":
      return question(op.ask);
    case "all":
    case "allSettled":
    case "any":
    case "race":
      return `Promise.${op.op}([${op.of.map(expression).join(", ")}])`;
    case "first":
      return `ctx.race({ ${op.of.map((each, i) => `e${i}: ${expression(each)}`).join(", ")} })`;
    case "block":
      return `(async () => {\n${body(op.steps)}\nreturn trace;\n})()`;
  }
}

function question(ask: Extract<Operation, { op: "ask" }>["ask"]): string {
  switch (ask) {
    case "ifTrue":
      return `ctx.ifTrue("Is it?")`;
    case "classify":
      return `ctx.classify("a number", ["even", "odd"])`;
    case "generateStructured":
      return `ctx.generateStructured("A form.", { type: "object" })`;
    case "summarize":
      return `ctx.summarize("many words", { maxWords: 2 })`;
    case "generate":
    case "unanswered":
      return `ctx.generate("A word.")`;
  }
}
