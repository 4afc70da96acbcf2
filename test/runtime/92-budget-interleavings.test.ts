/**
 * Made-up trees under made-up budgets, whose answers, crashes, top-ups and ends come in any order: what budgets say is what
 * histories say, no limit is passed but by what nobody could know, and nobody waits for room that is there.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Budget,
  type BudgetReport,
  type BudgetExceededError,
  type Client,
  type HistoryEvent,
  isStetError,
  LlmError,
  type LlmUsage,
  orchestration,
  type Prices,
} from "@stet/core";
import { mock, type MockAnswer, says } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import { TestEnvironment } from "@stet/testing";
import fc from "fast-check";
import { journal, ofKind } from "./world.ts";

/** One question. What comes of it stands in its prompt. */
type Question = {
  /** What attempts use that come to nothing. Four are as many as a call has. */
  readonly wasted: readonly number[];
  /** Input tokens of the answer; it is refused for good when there are none. */
  readonly used: number;
  /** Equal questions that are kept are asked once. */
  readonly kept: boolean;
};

/** An instance, its questions, and those below it. */
type Tree = {
  readonly budget: Budget | null;
  readonly questions: readonly Question[];
  readonly atOnce: boolean;
  readonly catches: boolean;
  /** How often it goes on as new. */
  readonly rounds: number;
  readonly children: readonly Tree[];
};

type Move =
  | { readonly kind: "answer" | "cancel" | "terminate"; readonly which: number }
  | { readonly kind: "topUp"; readonly which: number; readonly calls: number; readonly tokens: number }
  | { readonly kind: "crash" }
  | { readonly kind: "wait" };

const outputTokens = 40;
const nanoUsdPerToken = 10_000;
const prices: Prices = ({ usage }) => (tokensOf(usage) * nanoUsdPerToken) / 1e9;

const grow = orchestration("grow", async (ctx, tree: Tree): Promise<void> => {
  const ask = async (question: Question, i: number): Promise<unknown> => {
    const prompt = JSON.stringify({ ...question, ...(!question.kept && { of: `${ctx.instanceId}/${i}` }) });
    const cache = question.kept ? ({ scope: "global", ttl: "10d" } as const) : undefined;
    try {
      return await ctx.generate(prompt, { maxTokens: 100, ...(cache !== undefined && { cache }) });
    } catch (error) {
      if (isStetError(error, "llm_failed") || (tree.catches && isStetError(error, "budget_exceeded"))) return undefined;
      throw error;
    }
  };
  const askAll = async (): Promise<void> => {
    for (const [i, question] of tree.questions.entries()) await ask(question, i);
  };
  const children = tree.children.map(async (child, i) =>
    ctx
      .subOrchestration(grow, child, {
        instanceId: `${ctx.instanceId}-${i}`,
        ...(child.budget !== null && { budget: child.budget }),
      })
      .catch(() => undefined),
  );
  await Promise.all([...(tree.atOnce ? tree.questions.map(ask) : [askAll()]), ...children]);
  if (tree.rounds > 0) return ctx.continueAsNew({ ...tree, children: [], rounds: tree.rounds - 1 });
});

/** From nothing, and from less than a call wants, to enough for ten. */
const tokens = fc.integer({ min: 0, max: 2_500 });
const budgets: fc.Arbitrary<Budget> = fc.oneof(
  fc.record({ calls: fc.integer({ min: 0, max: 8 }) }),
  fc.record({ tokens }),
  fc.record({ usd: tokens.map((n) => (n * nanoUsdPerToken) / 1e9), calls: fc.integer({ min: 2, max: 12 }) }),
);
const question: fc.Arbitrary<Question> = fc.record({
  wasted: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, fc.array(fc.nat({ max: 250 }), { maxLength: 4 })),
  used: fc.oneof({ weight: 1, arbitrary: fc.constant(0) }, { weight: 5, arbitrary: fc.nat({ max: 250 }) }),
  kept: fc.boolean(),
});

function trees(depth: number): fc.Arbitrary<Tree> {
  const node = {
    questions: fc.array(question, { minLength: 1, maxLength: 4, size: "max" }),
    atOnce: fc.boolean(),
    catches: fc.boolean(),
    rounds: fc.nat({ max: 1 }),
    children: depth === 0 ? fc.constant([]) : fc.array(trees(depth - 1), { maxLength: 2, size: "max" }),
  };
  return fc.record({ ...node, budget: depth === 2 ? budgets : fc.option(budgets) });
}

const which = fc.nat({ max: 50 });
const moves = fc.array(
  fc.tuple(
    fc.nat({ max: 40 }),
    fc.oneof<fc.MaybeWeightedArbitrary<Move>[]>(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant("answer"), which }) },
      {
        weight: 2,
        arbitrary: fc.record({
          kind: fc.constant("topUp"),
          which,
          calls: fc.nat({ max: 3 }),
          tokens: fc.nat({ max: 400 }),
        }),
      },
      { weight: 2, arbitrary: fc.constantFrom<Move>({ kind: "crash" }, { kind: "wait" }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("cancel", "terminate"), which }) },
    ),
  ),
  { minLength: 5, maxLength: 16, size: "max" },
);

test(
  "in any order: budgets say what histories say, limits hold, and nobody waits for room that is there",
  { timeout: 120_000 },
  async (t) => {
    // Virtual time keeps no process alive: a run that hangs must reach the time limit, not the end of the event loop.
    const alive = setInterval(() => undefined, 60_000);
    t.after(() => clearInterval(alive));
    const seen: Seen = { suspended: 0, caught: 0, overshoots: 0, wasted: 0, kept: 0 };
    await fc.assert(
      fc.asyncProperty(trees(2), moves, async (tree, moves) => {
        const { llm, held, openAll } = heldModel();
        const env = await TestEnvironment.start({
          storage: sqlite(":memory:"),
          logger: journal(),
          orchestrations: [grow],
          llm,
          prices,
        });
        try {
          const { budget } = tree;
          await env.startOrchestration(grow, tree, { instanceId: "root", ...(budget !== null && { budget }) });
          for (const [hops, move] of moves) {
            for (let i = 0; i < hops; i++) await new Promise((resolve) => setImmediate(resolve));
            await make(move, env, held);
            for (const account of (await accountsIn(env.client)).accounts) assertWithin(account);
          }
          openAll();
          await env.advance("1m");
          await assertSettled(env.client, seen);
          for (let left = true; left;) {
            left = await topUpAll(env.client);
            await env.advance("1m");
            await assertSettled(env.client, seen);
          }
          assert.equal((await env.client.instance("root").status()).status, "completed");
        } finally {
          openAll();
          await env.close();
        }
      }),
      { numRuns: 30, includeErrorInReport: true },
    );
    t.diagnostic(JSON.stringify(seen));
    for (const [what, times] of Object.entries(seen)) assert.ok(times > 0, `Expected ${what} to happen, got none`);
  },
);

/** A model that answers when it is told to: one call, or all from now on. */
function heldModel() {
  const held: (() => void)[] = [];
  let isOpen = false;
  const sent = new Map<string, number>();
  const llm = mock().otherwise(async ({ messages }, { idempotencyKey }): Promise<MockAnswer> => {
    const attempt = sent.get(idempotencyKey) ?? 0;
    sent.set(idempotencyKey, attempt + 1);
    if (!isOpen) await new Promise<void>((resolve) => held.push(resolve));
    const { wasted, used } = JSON.parse(messages[0]?.content ?? "") as Question;
    const lost = wasted[attempt];
    if (lost !== undefined) throw new LlmError("malformed", "noise", { usage: { inputTokens: lost, outputTokens: 0 } });
    if (used === 0) throw new LlmError("refused", "no", { usage: { inputTokens: 5, outputTokens: 0 } });
    return says("ok", { usage: { inputTokens: used, outputTokens } });
  });
  return {
    llm,
    held,
    openAll: () => {
      isOpen = true;
      for (const answer of held.splice(0)) answer();
    },
  };
}

async function make(move: Move, env: TestEnvironment, held: (() => void)[]): Promise<void> {
  const { client } = env;
  if (move.kind === "crash") return env.restart();
  if (move.kind === "wait") return env.clock.jumpTo(env.clock.now() + 5_000);
  if (move.kind === "answer") return held.splice(move.which % Math.max(1, held.length), 1)[0]?.();
  const known = (await client.tree("root")).map(({ instanceId }) => instanceId);
  const instanceId = known[move.which % known.length] ?? "root";
  if (move.kind === "topUp") return topUp(client, instanceId, move);
  if (instanceId === "root") return;
  if (move.kind === "cancel") return client.instance(instanceId).cancel();
  return client.instance(instanceId).terminate();
}

/** Adds to what is limited. */
async function topUp(client: Client, instanceId: string, { calls, tokens }: { calls: number; tokens: number }) {
  const { limits } = (await client.budget(instanceId)) ?? {};
  if (limits === undefined) return;
  await client.topUp(instanceId, {
    ...(limits.calls !== undefined && { calls }),
    ...(limits.tokens !== undefined && { tokens }),
    ...(limits.usd !== undefined && { usd: (tokens * nanoUsdPerToken) / 1e9 }),
  });
}

/** Answers whether somebody is suspended; then all budgets are added to. */
async function topUpAll(client: Client): Promise<boolean> {
  const states = await client.tree("root");
  if (states.every(({ status }) => status !== "blocked")) return false;
  for (const { instanceId } of states) await topUp(client, instanceId, { calls: 5, tokens: 1_000 });
  return true;
}

/** What a budget says, and what the histories below it say. */
interface Account {
  readonly instanceId: string;
  readonly report: BudgetReport;
  readonly calls: number;
  readonly tokens: number;
  /** Calls of instances that ended before their answers. Histories do not tell whether they had room, and so count. */
  readonly givenUp: number;
  /** By how much calls used more than was reserved for them. */
  readonly overshoot: number;
}

/** All budgets. Histories are read after them, so that they are not behind. */
async function accountsIn(client: Client): Promise<{ accounts: Account[]; events: HistoryEvent[] }> {
  const reports = new Map<string, BudgetReport>();
  for (const { instanceId } of await client.tree("root")) {
    const report = await client.budget(instanceId);
    if (report !== undefined) reports.set(instanceId, report);
  }
  const histories: { instanceId: string; isOver: boolean; events: HistoryEvent[] }[] = [];
  for (const { instanceId, status } of await client.tree("root")) {
    const isOver = status === "cancelled" || status === "terminated";
    for (const { execution } of await client.executions(instanceId)) {
      histories.push({ instanceId, isOver, events: await client.instance(instanceId).history(execution) });
    }
  }
  const accounts = Array.from(reports, ([instanceId, report]) => {
    const sums = { calls: 0, tokens: 0, givenUp: 0, overshoot: 0 };
    for (const { events, isOver } of histories.filter((history) =>
      `${history.instanceId}-`.startsWith(`${instanceId}-`),
    )) {
      const asked = new Map(ofKind(events, "LlmRequested").map((event) => [event.id, atMost(event.request)]));
      const used = events.flatMap((event) => usedBy(event) ?? []);
      for (const { source, calls, tokens } of used) {
        sums.calls += calls;
        sums.tokens += tokens;
        sums.overshoot += Math.max(0, tokens - (asked.get(source) ?? 0));
      }
      if (isOver) sums.givenUp += asked.size - used.length;
    }
    return { instanceId, report, ...sums };
  });
  return { accounts, events: histories.flatMap(({ events }) => events) };
}

function usedBy(event: HistoryEvent): { source: number; calls: number; tokens: number } | undefined {
  if (event.kind !== "LlmCompleted" && event.kind !== "LlmFailed") return undefined;
  const { source, wasted = [] } = event;
  if (event.kind === "LlmFailed" && event.error.code === "budget_exceeded") return { source, calls: 0, tokens: 0 };
  const isCached = event.kind === "LlmCompleted" && event.cached === true;
  const answered = event.kind === "LlmCompleted" && !isCached ? tokensOf(event.usage) : 0;
  const tokens = wasted.reduce((sum, { usage }) => sum + tokensOf(usage), answered);
  return { source, calls: isCached && wasted.length === 0 ? 0 : 1, tokens };
}

/** As documented: a token for each two bytes, and the longest answer. */
function atMost({ messages, maxTokens = 0 }: { readonly messages?: unknown; readonly maxTokens?: number }): number {
  return Math.ceil(Buffer.byteLength(JSON.stringify({ messages })) / 2) + maxTokens;
}

function tokensOf({ inputTokens, outputTokens }: LlmUsage): number {
  return inputTokens + outputTokens;
}

/** At any time: what is spent and reserved stays below the limits, but for what used more than was reserved. */
function assertWithin({ instanceId, report: { limits, spent, reserved }, overshoot }: Account): void {
  const taken = {
    calls: [spent.calls + reserved.calls, limits.calls],
    tokens: [spent.tokens + reserved.tokens - overshoot, limits.tokens],
    usd: [nano(spent.usd + reserved.usd) - overshoot * nanoUsdPerToken, limits.usd && nano(limits.usd)],
  } as const;
  for (const [member, [amount, limit = Infinity]] of Object.entries(taken)) {
    assert.ok(amount <= limit, `Expected ${member} of ${instanceId} to be at most ${limit}, got ${amount}`);
  }
}

/** How often something happened that must not hide. */
type Seen = Record<"suspended" | "caught" | "overshoots" | "wasted" | "kept", number>;

/** Where nothing is under way. */
async function assertSettled(client: Client, seen: Seen): Promise<void> {
  const { accounts, events } = await accountsIn(client);
  for (const account of accounts) {
    assertWithin(account);
    const { instanceId, report, calls, tokens, givenUp, overshoot } = account;
    const { spent, reserved } = report;
    assert.deepEqual(reserved, { tokens: 0, usd: 0, calls: 0 }, `reserved of ${instanceId}`);
    const sums = { tokens: spent.tokens, nanoUsd: nano(spent.usd) };
    assert.deepEqual(sums, { tokens, nanoUsd: tokens * nanoUsdPerToken }, `spent of ${instanceId}`);
    const most = calls + givenUp;
    assert.ok(
      spent.calls >= calls && spent.calls <= most,
      `${spent.calls} calls of ${instanceId}, not ${calls}-${most}`,
    );
    if (overshoot > 0) seen.overshoots++;
  }
  for (const { instanceId, status, error } of await client.tree("root")) {
    if (status !== "blocked") continue;
    seen.suspended++;
    const { shortage } = error as BudgetExceededError;
    const { member, wanted } = shortage ?? assert.fail(`${instanceId}: ${error?.message}`);
    const { spent, limits } =
      accounts.find((account) => account.instanceId === shortage?.instanceId)?.report ?? assert.fail();
    const room = nano((limits[member] ?? Infinity) - spent[member]);
    assert.ok(nano(wanted) > room, `Expected no room for ${instanceId}, got ${room} of ${error?.message}`);
  }
  for (const { error } of ofKind(events, "LlmFailed")) {
    if (error.code !== "budget_exceeded") continue;
    seen.caught++;
    const { spent, wanted, limit } = error.details as { spent: number; wanted: number; limit: number };
    assert.ok(nano(spent + wanted) > nano(limit), "Expected code to be told only of room that will not be there");
  }
  seen.wasted += events.filter((event) => "wasted" in event).length;
  seen.kept += ofKind(events, "LlmCompleted").filter(({ cached }) => cached === true).length;
}

/** Whole numbers, so that sums are exact. */
function nano(amount: number): number {
  return Math.round(amount * 1e9);
}
