/**
 * Running the actions of a plan: judged first, approved next, and then one after the other or side by side.
 *
 * 1. Nothing of a plan runs before all of it has been judged and decided.
 * 2. Actions in order stop at the first that did not work: the model sees what came of it and plans anew.
 * 3. Irreversible actions never run side by side, and none follows one that did not work in the same plan.
 */
import type { Payload } from "@stet/core";
import type { Checked } from "@stet/core/internal";
import type { PendingApproval } from "./agent-wait.ts";
import { type Decided, decisionsOn } from "./approvals.ts";
import type { Called } from "./calling.ts";
import { carryOut } from "./carrying-out.ts";
import { checkpoint } from "./inbox.ts";
import { type Judged, judge, rulingOn } from "./judging.ts";
import type { ActionStatus, RememberedAction } from "./memory.ts";
import type { Plan } from "./plan.ts";
import { type Run, stand, tell } from "./run.ts";

/** What came of a plan. */
export interface Acted {
  readonly actions: readonly RememberedAction[];
  /** What the model did wrong, if it did. Then nothing was run. */
  readonly mistake?: string;
}

/** An action on its way. */
interface Course {
  readonly id: string;
  readonly tool: string;
  readonly writtenId?: string;
  readonly planned: Payload;
  readonly judged: Judged;
  outcome?: Called;
}

const goalChanged = "the goal was changed";

/** Does what the model plans, as far as it may. */
export async function act(run: Run, plan: Plan): Promise<Acted> {
  const { ctx, memory, spec } = run;
  const mark = ctx.uuid().slice(0, 4);
  const courses = plan.actions.map((action, i): Course => {
    const { tool, arguments: planned, writtenId } = action;
    const id = `${memory.iteration + 1}-${i + 1}-${mark}`;
    return { id, tool, planned, judged: judge(run, action), ...(writtenId !== undefined && { writtenId }) };
  });
  tell(run, {
    kind: "planned",
    iteration: memory.iteration + 1,
    thought: plan.thought,
    actions: courses.map(({ id, tool, planned }) => ({ id, tool, arguments: planned })),
    costUsd: memory.usage.usd + ctx.usage().usd,
  });
  const mistake = mistakeIn(courses, spec.bounds.maxActionsPerPlan);
  if (mistake !== undefined) {
    for (const course of courses) finish(run, course, notRun(course));
    return { mistake, actions: courses.map(remembered) };
  }
  const decided = await decisionsOn(
    run,
    courses.flatMap((course) => approvalOf(run, course, plan.thought)),
    (id, edited) =>
      problemWith(
        run,
        courses.find((course) => course.id === id),
        edited,
      ),
  );
  stand(run, "acting");
  await (plan.parallel ? sideBySide(run, courses, decided) : inOrder(run, courses, decided));
  return { actions: courses.map(remembered) };
}

async function inOrder(run: Run, courses: readonly Course[], decided: ReadonlyMap<string, Decided>): Promise<void> {
  const { goal } = run.memory;
  let stopped: string | undefined;
  for (const course of courses) {
    if (stopped === undefined) await checkpoint(run);
    if (run.memory.goal !== goal) stopped ??= goalChanged;
    if (stopped === undefined) await take(run, course, decided.get(course.id));
    else finish(run, course, { status: "skipped", result: stopped, isMaterial: false });
    if (!worked(course)) stopped ??= `${course.tool} before it did not work`;
  }
}

/** Those that must not run side by side go one after the other in a lane of their own, beside the rest. */
async function sideBySide(run: Run, courses: readonly Course[], decided: ReadonlyMap<string, Decided>): Promise<void> {
  const { goal } = run.memory;
  await checkpoint(run);
  if (run.memory.goal !== goal) {
    for (const course of courses) finish(run, course, { status: "skipped", result: goalChanged, isMaterial: false });
    return;
  }
  const lane = (members: readonly Course[], stopsAtFailure: boolean) => async () => {
    for (const [i, course] of members.entries()) {
      if (stopsAtFailure && members.slice(0, i).some((before) => !worked(before))) {
        const result = "an irreversible action before it did not work";
        finish(run, course, { status: "skipped", result, isMaterial: false });
      } else await take(run, course, decided.get(course.id));
    }
  };
  const kindOf = ({ judged }: Course) => {
    if (judged.kind === "mistake") return "free";
    if (judged.tool.definition.kind === "builtIn") return "builtIn";
    return judged.tool.effect === "irreversible" ? "irreversible" : "free";
  };
  const of = (kind: ReturnType<typeof kindOf>) => courses.filter((course) => kindOf(course) === kind);
  const jobs = [
    lane(of("irreversible"), true),
    ...of("free").map((course) => lane([course], false)),
    lane(of("builtIn"), false),
  ];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let job = jobs[next++]; job !== undefined; job = jobs[next++]) await job();
  };
  await Promise.all(Array.from({ length: Math.min(run.spec.bounds.parallelism, jobs.length) }, worker));
}

/** Runs an action, or records why it is not run. */
async function take(run: Run, course: Course, decided: Decided | undefined): Promise<void> {
  const { judged, id } = course;
  if (judged.kind === "mistake") return;
  const { tool, ruling, asksForFallback } = judged;
  if (ruling.verdict === "deny")
    return finish(run, course, { status: "refused", result: ruling.why, isMaterial: false });
  if (decided?.verdict === "rejected")
    return finish(run, course, { status: "rejected", result: decided.why, isMaterial: false });
  if (decided?.verdict === "takenOver") {
    const result = `${decided.by} did it and says: ${JSON.stringify(decided.result)}`;
    return finish(run, course, { status: "takenOver", result, isMaterial: false });
  }
  const args = decided?.arguments ?? course.planned;
  const input = decided === undefined ? judged.input : inputOf(tool.read(args));
  const called = await carryOut(run, { tool, args, input, id, mayFallBack: decided !== undefined && asksForFallback });
  const edited = args === course.planned ? "" : `Approved with other arguments: ${JSON.stringify(args)}\n`;
  finish(run, course, { ...called, result: `${edited}${called.result}` });
}

function finish(run: Run, course: Course, outcome: Called): void {
  course.outcome = cut(outcome, run.spec.memory.maxResultLength);
  const { status, result } = outcome;
  tell(run, { kind: "acted", actionId: course.id, tool: course.tool, status, excerpt: result.slice(0, 200) });
}

function notRun({ judged }: Course): Called {
  if (judged.kind === "mistake") return { status: "refused", result: judged.problem, isMaterial: false };
  const result = "the plan has a mistake, so none of its actions was run: plan again";
  return { status: "skipped", result, isMaterial: false };
}

function cut(outcome: Called, longest: number): Called {
  const { result } = outcome;
  if (result.length <= longest) return outcome;
  return { ...outcome, result: `${result.slice(0, longest)}\n... (cut: there were ${result.length} characters)` };
}

function approvalOf(run: Run, { id, planned, judged }: Course, thought: string): PendingApproval[] {
  if (judged.kind === "mistake" || judged.ruling.verdict !== "ask") return [];
  const { tool, ruling } = judged;
  const since = run.ctx.now();
  return [
    {
      actionId: id,
      tool: tool.name,
      arguments: planned,
      effect: tool.effect,
      thought,
      why: ruling.why,
      since,
      ...(ruling.timeoutMs !== undefined && { expiresAt: since + ruling.timeoutMs }),
      quorum: ruling.quorum,
      approvedBy: [],
    },
  ];
}

/** What is wrong with the arguments that somebody would have an action run with. */
function problemWith(run: Run, course: Course | undefined, edited: Payload): string | undefined {
  if (course?.judged.kind !== "action") return "there is no such action";
  const read = course.judged.tool.read(edited);
  if (!("value" in read)) return read.problem;
  const ruling = rulingOn(run, course.judged.tool, edited);
  return ruling.verdict === "deny" ? ruling.why : undefined;
}

function inputOf(read: Checked<unknown>): unknown {
  if ("value" in read) return read.value;
  throw new Error(`Expected arguments to have been checked before they were approved, got: ${read.problem}`);
}

function mistakeIn(courses: readonly Course[], mostActions: number): string | undefined {
  const problems = courses.flatMap(({ judged }) => (judged.kind === "mistake" ? [judged.problem] : []));
  if (courses.length > mostActions)
    problems.push(`a plan may have at most ${mostActions} actions, got ${courses.length}`);
  return problems.length === 0 ? undefined : problems.join("; ");
}

function worked({ outcome }: Course): boolean {
  const workedOut: readonly (ActionStatus | undefined)[] = ["completed", "takenOver"];
  return workedOut.includes(outcome?.status);
}

function remembered({ id, tool, planned, writtenId, outcome }: Course): RememberedAction {
  if (outcome === undefined) throw new Error(`Expected action ${id} to have come to something, got nothing`);
  return { id, tool, arguments: planned, ...outcome, ...(writtenId !== undefined && { writtenId }) };
}
