/** What docs/cli.md shows of the terminal is what people see: each block is printed again, and only times and places may differ. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { activity, orchestration, Runtime } from "@stet/core";
import { mock } from "@stet/mock";
import { until } from "../chaos/until.ts";
import { read } from "../docs/blocks.ts";
import { makeProject } from "./project.ts";
import { sqliteStore } from "./stores.ts";
import { type } from "./terminal.ts";

const silent = () => undefined;
const logger = { debug: silent, info: silent, warn: silent, error: silent };

const fetchTicket = activity(
  "fetchTicket",
  { retry: { maxAttempts: 3, initialInterval: 10 } },
  async (ctx, id: string) => {
    if (ctx.attempt === 1) throw new Error("the ticket store is busy");
    return { id, text: "The desk arrived broken." };
  },
);
const refund = activity("refund", { effect: "irreversible" }, async (_ctx, id: string) => `refunded ${id}`);
const audit = orchestration("audit", async (ctx) => ctx.timer("1h"));
const handleTicket = orchestration("handleTicket", async (ctx, id: string) => {
  const ticket = await ctx.activity(fetchTicket, id);
  const kind = await ctx.classify(ticket.text, ["refund", "bug"], { label: "kind" });
  const audited = ctx.subOrchestration(audit, undefined, { instanceId: `${id}-audit` });
  ctx.setStatus("waiting for approval");
  const { approved } = await ctx.waitForEvent<{ approved: boolean }>("approval", { details: { kind }, timeout: "3d" });
  if (approved) await ctx.activity(refund, id);
  await audited;
});
const forgetful = orchestration("forgetful", async (ctx) => {
  await new Promise(() => ctx.now());
});

test("what stet show prints of an instance that waits, and of one that is blocked", async (t) => {
  const store = sqliteStore();
  const runtime = await Runtime.start({
    storage: store.open(),
    llm: mock().on("classify", "refund"),
    prices: () => 0.0012,
    orchestrations: [handleTicket, audit, forgetful],
    activities: [fetchTicket, refund],
    logger,
  });
  t.after(() => runtime.shutdown());
  const stet = (...argv: string[]) => type([...argv, "-s", store.address]);
  await stet("start", "handleTicket", "-i", '"T-17"', "--id", "T-17", "--label", "team=returns");
  await stet("start", "forgetful", "--id", "F-1", "--watch");
  await until("it waits", async () => (await stet("show", "T-17")).stdout.includes("stet approve T-17"));

  matchesPage("stet show T-17", (await stet("show", "T-17")).stdout);
  matchesPage("stet show F-1", (await stet("show", "F-1")).stdout);
});

test("what stet doctor prints of a project without a worker", async () => {
  const shop = makeProject({ "stet.config.ts": config });
  await type(["start", "placeOrder", "-i", '{"item":"a desk","price":900}', "--id", "desk"], { cwd: shop });

  matchesPage("stet doctor", (await type(["doctor"], { cwd: shop })).stdout);
});

test("what stet dev prints while an instance runs", async (t) => {
  const shop = makeProject({ "stet.config.ts": config });
  const interruption = new AbortController();
  t.after(() => interruption.abort());
  let printed = "";
  const dev = type(["dev"], { cwd: shop, signal: interruption.signal, onPrint: (text) => (printed += text) });

  await until("the store is there", () => existsSync(join(shop, "shop.db")));
  await type(["start", "placeOrder", "-i", '{"item":"a desk","price":900}', "--id", "desk"], { cwd: shop });
  await until("it waits", () => printed.includes("event approval"));
  await type(["approve", "desk", "--by", "grace"], { cwd: shop });
  await until("it has ended", () => printed.includes("completed after"));
  interruption.abort();
  await dev;

  // Whether an activity is seen while it is under way depends on who is faster.
  matchesPage("stet dev", printed.replaceAll(/^.* activity \w+ {2}open.*\n/gm, ""));
});

/** As `stet init` makes it, in one file. */
const config = `
  import { activity, orchestration } from "@stet/core";
  import { defineConfig } from "stet";
  const buy = activity("buy", async (_ctx, order) => "bought " + order.item + " for " + order.price);
  const placeOrder = orchestration("placeOrder", async (ctx, order) => {
    if (order.price > 100) {
      ctx.setStatus("waiting for approval");
      const answer = await ctx.waitForEvent("approval", { details: order, timeout: "3d" });
      if (!answer.approved) return "refused " + order.item;
    }
    return ctx.activity(buy, order);
  });
  export default defineConfig({ storage: "sqlite:shop.db", orchestrations: [placeOrder], activities: [buy] });
`;

/** Compares with the block of the page that begins with this command. */
function matchesPage(command: string, printed: string): void {
  const page = read("docs/cli.md");
  const block = page.split("```text\n").find((text) => text.startsWith(`$ ${command}\n`));
  assert.ok(block !== undefined, `Expected docs/cli.md to show ${command}, got no such block. It prints:\n${printed}`);
  const shown = block.slice(block.indexOf("\n") + 1, block.indexOf("\n```"));
  assert.equal(shapeOf(printed), shapeOf(shown), `It prints:\n${printed}`);
}

/** Without what differs from one run and one machine to the next. */
function shapeOf(text: string): string {
  return text
    .trimEnd()
    .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ/g, "INSTANT")
    .replaceAll(/\d\d:\d\d:\d\d\.\d{3}/g, "TIME")
    .replaceAll(/\b\d+(\.\d+)?(ms|s|m|h|d)\b( \d+(s|m|h)\b)?/g, "DURATION")
    .replaceAll(/\d+\+\d+ tokens/g, "TOKENS")
    .replaceAll(/v\d+\.\d+\.\d+ on \w+ \w+/g, "NODE")
    .replaceAll(/\/\S+\/stet\.config\.ts/g, "stet.config.ts")
    .replaceAll(/ +/g, " ");
}
