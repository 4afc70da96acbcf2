/**
 * A zoo of orchestrations: each a world for the crash explorer, together all that `ctx` can do. `text` is what payloads
 * are made of, short or so long that they are stored by reference.
 */
import { activity, isStetError, orchestration, type LlmMessage } from "@stet/core";
import { callTool, mock } from "@stet/mock";
import { sqlite } from "@stet/sqlite";
import type { CrashWorld } from "@stet/testing";
import { z } from "zod";

type World = CrashWorld<unknown>;

const storage = () => sqlite(":memory:");

/** Says what it is given; fails when it is told to. */
const echo = activity("echo", async (_ctx, said: string) => {
  if (said.startsWith("fail")) throw Object.assign(new Error(said), { code: "told_to" });
  return said;
});

/** Activities in all ways: in a row, side by side, caught, tried again, with heartbeats, tags and sessions. */
export function activities(text: string): World {
  const tries = new Map<string, number>();
  const flaky = activity("flaky", { retry: { maxAttempts: 9, initialInterval: "1s", jitter: 0 } }, async (ctx) => {
    const count = (tries.get(ctx.idempotencyKey) ?? 0) + 1;
    tries.set(ctx.idempotencyKey, count);
    ctx.heartbeat({ count, text });
    if (count === 1) throw new Error("not yet");
    return text;
  });
  const tagged = activity("tagged", { tag: "gpu" }, async (_ctx, said: string) => said);
  const all = orchestration("all", async (ctx) => {
    const first = await ctx.activity(echo, `${text}1`);
    const both = await Promise.all([ctx.activity(echo, `${first}2`), ctx.activity(echo, `${first}3`)]);
    const settled = await Promise.allSettled([ctx.activity(echo, "fail"), ctx.activity(flaky)]);
    const session = await ctx.activity(echo, `${text}4`, { session: "s" });
    const again = await ctx.activity(tagged, session, { session: "s" });
    const given = ctx.activity(echo, `${text}5`);
    const lost = given.cancel("not needed");
    await given.catch(() => undefined);
    return [both, settled.map(({ status }) => status), again, typeof lost];
  });
  return {
    storage: storage(),
    tags: ["gpu"],
    orchestrations: [all],
    activities: [echo, flaky, tagged],
    scenario: async (env) => env.result(await env.startOrchestration(all, undefined, { instanceId: "a" })),
  };
}

/** Timers, races, events from inside and outside, waits with time limits, state, status, output and what is by chance. */
export function eventsAndTime(text: string): World {
  const waiting = orchestration("waiting", async (ctx) => {
    ctx.setStatus({ text });
    ctx.state.set("text", text);
    ctx.state.set("gone", 1);
    await ctx.timer("30d");
    ctx.state.delete("gone");
    ctx.sendEvent(ctx.instanceId, "note", text);
    ctx.sendEvent(ctx.instanceId, "note", "second");
    const notes = [await ctx.waitForEvent("note"), await ctx.waitForEvent("note")];
    const { winner } = await ctx.race({ event: ctx.waitForEvent("never"), timer: ctx.timer("1h") });
    const late = await ctx
      .waitForEvent("never", { timeout: "2h" })
      .catch((error: unknown) => isStetError(error, "timeout"));
    ctx.emit({ text, id: ctx.uuid(), by: ctx.random() });
    const asked = await ctx.waitForEvent("answer", { details: { text }, timeout: "3d" });
    const early = ctx.tryReceive("early");
    const version = ctx.patched("change") ? "new" : "old";
    ctx.setStatus(null);
    return [notes, winner, late, asked, early, version, ctx.state.get("text"), ctx.now() > 0];
  });
  return {
    storage: storage(),
    orchestrations: [waiting],
    scenario: async (env) => {
      const run = await env.startOrchestration(waiting, undefined, { instanceId: "e" });
      await run.raiseEvent("early", text);
      await env.advance("31d");
      await run.raiseEvent("answer", { text }, { idempotencyKey: "once" });
      await run.raiseEvent("answer", { text }, { idempotencyKey: "once" });
      return env.result(run);
    },
  };
}

/** Children in children, one that fails, one that goes on alone, one that is started and left, one that is given up. */
export function children(text: string): World {
  const leaf = orchestration("leaf", async (ctx, n: number) => {
    if (n === 3) throw new Error("a bad leaf");
    return ctx.activity(echo, `${text}${n}`);
  });
  const branch = orchestration("branch", async (ctx) => {
    const leaves = [1, 2, 3].map((n) => ctx.subOrchestration(leaf, n));
    const settled = await Promise.allSettled(leaves);
    return settled.map(({ status }) => status);
  });
  const sleeper = orchestration("sleeper", async (ctx, cleanUp: string) => {
    try {
      await ctx.timer("9d");
    } catch (error) {
      await ctx.activity(echo, cleanUp);
      throw error;
    }
    return "slept";
  });
  const left = orchestration("left", async (ctx, said: string) => ctx.activity(echo, said));
  const root = orchestration("root", async (ctx) => {
    const told = await ctx.subOrchestration(branch, undefined, { instanceId: "the-branch" });
    ctx.startOrchestration(left, text, { instanceId: "left" });
    const tired = ctx.subOrchestration(sleeper, text);
    void ctx
      .subOrchestration(sleeper, text, { instanceId: "alone", parentClosePolicy: "abandon" })
      .catch(() => undefined);
    await ctx.timer("1h");
    tired.cancel("no need");
    await tired.catch(() => undefined);
    return told;
  });
  return {
    storage: storage(),
    orchestrations: [root, branch, leaf, sleeper, left],
    activities: [echo],
    scenario: async (env) => {
      const result = await env.result(await env.startOrchestration(root, undefined, { instanceId: "c" }));
      return [result, await env.result(env.client.instance("left")), await env.result(env.client.instance("alone"))];
    },
  };
}

/** Executions one after another: state, status and events that nobody took yet go with them. */
export function continuing(text: string): World {
  const rounds = orchestration("rounds", async (ctx, sum: number): Promise<number> => {
    ctx.state.set(`round ${ctx.execution}`, text);
    ctx.setStatus(`round ${ctx.execution} ${text}`);
    ctx.emit(ctx.execution);
    const data = await ctx.waitForEvent<number>("add");
    await ctx.activity(echo, text);
    return ctx.execution < 4 ? ctx.continueAsNew(sum + data) : sum + data;
  });
  return {
    storage: storage(),
    orchestrations: [rounds],
    activities: [echo],
    scenario: async (env) => {
      const run = await env.startOrchestration(rounds, 0, { instanceId: "n" });
      for (const data of [1, 2, 3, 4]) await run.raiseEvent("add", data);
      return env.result(run);
    },
  };
}

/** Cancelled from outside, it undoes what it did, with its children; another is terminated. */
export function compensating(text: string): World {
  const booked = new Set<string>();
  const book = activity("book", { effect: "compensable" }, async (ctx, what: string) => {
    booked.add(what);
    return ctx.idempotencyKey;
  });
  const undo = activity("undo", { effect: "idempotent" }, async (_ctx, what: string) => void booked.delete(what));
  const stay = orchestration("stay", async (ctx) => {
    await ctx.activity(book, `bed ${text}`);
    try {
      await ctx.timer("9d");
    } catch (error) {
      await ctx.activity(undo, `bed ${text}`);
      throw error;
    }
  });
  const trip = orchestration("trip", async (ctx) => {
    await ctx.activity(book, `flight ${text}`);
    try {
      await ctx.subOrchestration(stay);
    } catch (error) {
      await ctx.activity(undo, `flight ${text}`);
      await ctx.timer("1h");
      throw error;
    }
  });
  return {
    storage: storage(),
    orchestrations: [trip, stay],
    activities: [book, undo],
    scenario: async (env) => {
      const run = await env.startOrchestration(trip, undefined, { instanceId: "t" });
      const doomed = await env.startOrchestration(stay, undefined, { instanceId: "d" });
      await env.advance("1d");
      await run.cancel(`enough ${text}`);
      await doomed.terminate(text);
      const ends = [run, doomed].map((handle) =>
        env.result(handle).catch((error: unknown) => isStetError(error) && error.code),
      );
      return [await Promise.all(ends), [...booked]];
    },
  };
}

/** Irreversible, and the code asks the other side when it does not know. */
export function irreversible(text: string): World {
  const paid = new Map<string, number>();
  const pay = activity("pay", { effect: "irreversible" }, async (_ctx, order: string) => {
    paid.set(order, (paid.get(order) ?? 0) + 1);
    return text;
  });
  const hasPaid = activity("hasPaid", async (_ctx, order: string) => paid.has(order));
  const payOnce = orchestration("payOnce", async (ctx, order: string): Promise<string> => {
    for (;;) {
      try {
        return await ctx.activity(pay, order);
      } catch (error) {
        if (!isStetError(error, "outcome_unknown")) throw error;
        if (await ctx.activity(hasPaid, order)) return text;
      }
    }
  });
  return {
    storage: storage(),
    orchestrations: [payOnce],
    activities: [pay, hasPaid],
    scenario: async (env) => {
      const runs = await Promise.all(
        ["o1", "o2"].map((order) => env.startOrchestration(payOnce, order, { instanceId: order })),
      );
      return [await Promise.all(runs.map((run) => env.result(run))), [...paid].sort(([a], [b]) => a.localeCompare(b))];
    },
  };
}

/** Every operation that asks a model, one that is asked again, one that never gets an answer, and a talk with tools. */
export function models(text: string): World {
  const found = z.object({ name: z.string() });
  const lookUp = activity(
    "lookUp",
    { description: "Looks up", input: found },
    async (_ctx, { name }) => `${name} ${text}`,
  );
  const llm = mock()
    .on("generate", text)
    .on("generateWithSystem", text)
    .on("generateWithContext", text)
    .on("generateStructured", "no JSON", { name: text })
    .on("generateValidated", "short", `long enough ${text}`)
    .on("ifTrue", true)
    .on("classify", "other", "bug")
    .on("extract", { name: text })
    .on("extractFeatures", { name: text })
    .on("summarize", "In short.")
    .on("sentiment", { label: "positive", confidence: 0.5 })
    .on("chat", callTool("lookUp", { name: text }), text);
  const asking = orchestration("asking", async (ctx) => {
    const said: unknown[] = [
      await ctx.generate(`Say ${text}`),
      await ctx.generateWithSystem(`You are ${text}`, "Go"),
      await ctx.generateWithContext(text, { context: { includeHistory: true, includeState: true } }),
      await ctx.generateStructured(`Name ${text}`, found),
      await ctx.generateValidated("Long", { validate: (value) => (value.length < 8 ? "too short" : undefined) }),
      ...(await Promise.all([ctx.ifTrue(`Is it ${text}?`), ctx.classify(text, ["bug", "wish"])])),
      await ctx.extract(text, ["name"]),
      await ctx.extractFeatures(text, ["name"]).catch(() => "not understood"),
      await ctx.summarize(text, { maxWords: 5 }),
      await ctx.sentiment(text),
      (await ctx.embed([text, "b"])).map((vector) => vector.length),
    ];
    const messages: LlmMessage[] = [{ role: "user", content: text }];
    const call = await ctx.chat(messages, { tools: ctx.describeTools([lookUp]) });
    messages.push(call);
    for (const { id, arguments: input } of call.toolCalls ?? []) {
      messages.push({ role: "tool", toolCallId: id, content: await ctx.activity<string>("lookUp", input) });
    }
    said.push(await ctx.chat(messages));
    return said;
  });
  return {
    storage: storage(),
    orchestrations: [asking],
    activities: [lookUp],
    llm,
    scenario: async (env) => env.result(await env.startOrchestration(asking, undefined, { instanceId: "l" })),
  };
}

/** Many instances under one worker, that send each other events and share a session. */
export function together(text: string): World {
  const ping = orchestration("ping", async (ctx, other: string) => {
    await ctx.activity(echo, text, { session: "shared" });
    ctx.sendEvent(other, "ping", `${ctx.instanceId} ${text}`);
    return ctx.waitForEvent("ping");
  });
  return {
    storage: storage(),
    orchestrations: [ping],
    activities: [echo],
    concurrency: { activities: 1 },
    scenario: async (env) => {
      const ids = ["p1", "p2", "p3"];
      const runs = await Promise.all(
        ids.map((instanceId, i) => env.startOrchestration(ping, ids[(i + 1) % 3] as string, { instanceId })),
      );
      return Promise.all(runs.map((run) => env.result(run)));
    },
  };
}
