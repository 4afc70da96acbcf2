/** Which provider is asked, under which name of the model, and how vectors come home. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type LlmError, orchestration, type LlmProvider } from "@stet/core";
import { mock, type MockLlm } from "@stet/mock";
import { environment, fails, ofKind } from "./world.ts";

const choose = orchestration("choose", async (ctx, model: string | undefined) =>
  ctx.generate("?", model === undefined ? {} : { model }),
);

/** A mock that says its own name and the model it was asked for. */
function named(name: string): MockLlm {
  return mock({ name }).otherwise((request) => `${name} ${request.model ?? "by default"}`);
}

const house = { fast: named("openai"), careful: named("anthropic"), local: named("ollama") };

const routes: readonly (readonly [asked: string | undefined, answered: string])[] = [
  [undefined, "openai by default"],
  ["fast", "openai by default"],
  ["careful", "anthropic by default"],
  ["gpt-5-mini", "openai gpt-5-mini"],
  ["o3", "openai o3"],
  ["o4-mini", "openai o4-mini"],
  ["chatgpt-4o-latest", "openai chatgpt-4o-latest"],
  ["claude-sonnet-4-5", "anthropic claude-sonnet-4-5"],
  ["llama3", "openai llama3"],
  ["olmo-2", "openai olmo-2"],
  ["ollama/llama3", "ollama llama3"],
  ["local/llama3", "ollama llama3"],
  ["ollama/library/llama3:8b", "ollama library/llama3:8b"],
  ["anthropic/gpt-5", "anthropic gpt-5"],
];

for (const [asked, answered] of routes) {
  test(`{ model: ${String(asked)} } asks ${answered}`, async (t) => {
    const env = await environment(t, { orchestrations: [choose], llm: house });
    assert.equal(await env.result(await env.startOrchestration(choose, asked)), answered);
  });
}

test("the entry called default is the default, wherever it stands", async (t) => {
  const llm = { fast: named("openai"), default: named("ollama") };
  const env = await environment(t, { orchestrations: [choose], llm });
  assert.equal(await env.result(await env.startOrchestration(choose, undefined)), "ollama by default");
  assert.equal(await env.result(await env.startOrchestration(choose, "llama3")), "ollama llama3");
});

test("a name in the table goes before a provider or a family of the same name", async (t) => {
  const llm = { "gpt-5": named("azure-openai"), "openai/gpt-5": named("ollama"), openai: named("openai") };
  const env = await environment(t, { orchestrations: [choose], llm });
  for (const [asked, answered] of [
    ["gpt-5", "azure-openai by default"],
    ["openai/gpt-5", "ollama by default"],
    ["gpt-4", "azure-openai gpt-4"],
  ] as const) {
    assert.equal(await env.result(await env.startOrchestration(choose, asked)), answered);
  }
});

test("a provider that nobody registered is an error that names the model and those that are there", async (t) => {
  const llm = { small: mock({ name: "ollama" }), big: mock({ name: "openai" }) };
  const env = await environment(t, { orchestrations: [choose], llm });
  for (const [model, message] of [
    ["claude-3", "Expected a provider anthropic for model claude-3, got small (ollama), big (openai): "],
    ["mistral/large", "Expected a provider mistral for model mistral/large, got small (ollama), big (openai): "],
  ] as const) {
    const error = await env.result(await env.startOrchestration(choose, model)).then(assert.fail, (thrown) => thrown);
    assert.ok(fails("orchestration_failed")(error));
    assert.ok((error as Error).message.includes(message), (error as Error).message);
    assert.match((error as Error).message, /as in "ollama\/(claude-3|mistral\/large)"$/);
  }
  assert.equal(llm.small.calls.length + llm.big.calls.length, 0);
});

test("what the vendor understands is sent as it stands, and recorded", async (t) => {
  const tune = orchestration("tune", async (ctx) => ctx.generate("?", { vendor: { top_p: 0.5, stop: ["\n"] } }));
  const llm = mock(["done"]);
  const env = await environment(t, { orchestrations: [tune], llm });
  const run = await env.startOrchestration(tune);
  await env.result(run);
  assert.deepEqual(llm.calls[0]?.request.vendor, { top_p: 0.5, stop: ["\n"] });
  assert.deepEqual(ofKind(await run.history(), "LlmRequested")[0]?.request.vendor, { top_p: 0.5, stop: ["\n"] });
});

const embed = orchestration("embed", async (ctx, { texts, model }: { texts: string[]; model?: string }) => {
  const vectors = await ctx.embed(texts, model === undefined ? {} : { model });
  await ctx.timer("1s");
  return vectors;
});

test("vectors are the same after a restart, and no text is embedded twice", async (t) => {
  const llm = mock();
  const env = await environment(t, { orchestrations: [embed], llm });
  const texts = ["a cat", "a cat and a dog", "rates of interest"];
  const run = await env.startOrchestration(embed, { texts, model: "mock/vectors-2" });
  await env.settle();
  await env.restart();
  const vectors = await env.result(run);
  const [first] = llm.calls;
  assert.ok(first?.outcome.kind === "embedded");
  assert.deepEqual(
    vectors,
    first.outcome.vectors.map((vector) => vector.map(Math.fround)),
  );
  assert.equal(llm.calls.length, 1);
  const [completed] = ofKind(await run.history(), "LlmCompleted");
  assert.deepEqual([completed?.model, completed?.finishReason], ["vectors-2", "stop"]);
  assert.equal(completed?.result.vectors?.[0]?.length, 172, "32 floats of 4 bytes in base64");
});

test("a provider without vectors, or with too few of them, fails the call", async (t) => {
  const { capabilities } = mock();
  const complete = () => Promise.reject(new Error("never asked"));
  const silent: LlmProvider = { name: "silent", model: "m", capabilities, complete };
  const few: LlmProvider = {
    ...silent,
    embed: async () => ({ vectors: [[1]], model: "few-1", usage: { inputTokens: 1, outputTokens: 0 } }),
  };
  const failing = orchestration("failing", async (ctx, model: string) =>
    ctx.embed(["a", "b"], { model }).then(
      () => "no error",
      (error: unknown) => [(error as LlmError).kind, (error as LlmError).message],
    ),
  );
  const env = await environment(t, { orchestrations: [failing], llm: { silent, few } });
  assert.deepEqual(await env.result(await env.startOrchestration(failing, "silent")), [
    "bad_request",
    "Expected silent to make vectors, got a provider that cannot",
  ]);
  assert.deepEqual(await env.result(await env.startOrchestration(failing, "few")), [
    "malformed",
    "Expected few-1 to give 2 vectors, got 1",
  ]);
});
