/** Conversations: messages in, the model's message out, with the tools it wants called. */
import assert from "node:assert/strict";
import test from "node:test";
import { activity, type LlmMessage, type LlmTool, type StetError } from "@stet/core";
import { answer, given, start } from "@stet/testing";
import { z } from "zod";
import { asking, questionOf, type Ask } from "./asking.ts";
import { bothWays, outputOf } from "./both-ways.ts";

const lookUp = activity(
  "lookUp",
  { description: "Finds an order.", input: z.object({ order: z.string(), lines: z.boolean().optional() }) },
  () => "found",
);
const ping = activity("ping", () => "pong");

const messages: readonly LlmMessage[] = [
  { role: "system", content: "Be short." },
  { role: "user", content: "Where is A-100?" },
];

test("ctx.chat() asks with the whole conversation, its tools and their choice", async () => {
  const tools: readonly LlmTool[] = [{ name: "ping", parameters: { type: "object" } }];

  const { operation, request } = await questionOf((ctx) =>
    ctx.chat(messages, { tools, toolChoice: "required" }, { temperature: 0 }),
  );

  assert.equal(operation, "chat");
  assert.deepEqual(request, { messages, tools, toolChoice: "required", temperature: 0 });
});

test("ctx.chat() without tools asks for none, and for no choice", async () => {
  assert.deepEqual((await questionOf((ctx) => ctx.chat(messages))).request, { messages });
  assert.deepEqual((await questionOf((ctx) => ctx.chat(messages, { tools: [], toolChoice: "auto" }))).request, {
    messages,
  });
});

test("ctx.chat() resolves with a message that can be sent back as it is", async () => {
  const toolCalls = [{ id: "c1", name: "lookUp", arguments: { order: "A-100" } }];
  const ask: Ask = async (ctx) => {
    const conversation = [...messages];
    const said = await ctx.chat(conversation, { tools: ctx.describeTools([lookUp]) });
    conversation.push(said);
    for (const { id, name, arguments: input } of said.toolCalls ?? []) {
      conversation.push({ role: "tool", toolCallId: id, content: await ctx.activity<string>(name, input) });
    }
    const last = await ctx.chat(conversation);
    return [...conversation, last];
  };

  const end = await bothWays(asking(ask), [
    [start()],
    [answer.said(2, "", { result: { text: "", toolCalls }, finishReason: "tool_calls" })],
    [answer.activityCompleted(4, "on its way")],
    [answer.said(6, "It is on its way.")],
  ]);

  assert.deepEqual(outputOf(end), [
    ...messages,
    { role: "assistant", content: "", toolCalls },
    { role: "tool", toolCallId: "c1", content: "on its way" },
    { role: "assistant", content: "It is on its way." },
  ]);
});

test("changing the messages after the call changes nothing that was asked", async () => {
  const ask: Ask = async (ctx) => {
    const conversation: LlmMessage[] = [{ role: "user", content: "first" }];
    const said = ctx.chat(conversation);
    conversation.push({ role: "user", content: "second" });
    await said;
  };

  const end = await bothWays(asking(ask), [[start()], [answer.said(2, "ok")]]);

  const [, question] = end.history;
  assert.ok(question?.kind === "LlmRequested");
  assert.deepEqual(question.request.messages, [{ role: "user", content: "first" }]);
});

test("ctx.describeTools() answers name, description and the schema of the input, in the order of the names", async () => {
  const described = async (ask: Ask) => outputOf(await bothWays(asking(ask), [[start()]])) as LlmTool[];

  const tools = await described((ctx) => ctx.describeTools([ping, lookUp]));

  assert.deepEqual(tools, [
    {
      name: "lookUp",
      description: "Finds an order.",
      parameters: {
        type: "object",
        properties: { order: { type: "string" }, lines: { type: "boolean" } },
        required: ["order"],
        additionalProperties: false,
      },
    },
    { name: "ping", parameters: { type: "object", properties: {}, additionalProperties: false } },
  ]);
  assert.equal(JSON.stringify(await described((ctx) => ctx.describeTools([lookUp, ping]))), JSON.stringify(tools));
});

test("what was described is the caller's own to change", async () => {
  const ask: Ask = (ctx) => {
    const [first] = ctx.describeTools([lookUp]);
    Object.assign(first?.parameters ?? {}, { type: "changed" });
    return ctx.describeTools([lookUp])[0]?.parameters["type"];
  };

  assert.equal(outputOf(await bothWays(asking(ask), [[start()]])), "object");
});

test("what no model could be offered is refused where the call is made", async () => {
  const tools: readonly LlmTool[] = [{ name: "ping", parameters: { type: "object" } }];
  const texts = activity("texts", { input: z.string() }, (_ctx, text) => text);
  const calls: readonly (readonly [Ask, RegExp])[] = [
    [(ctx) => ctx.chat([]), /to be given messages, got none/],
    [(ctx) => ctx.chat(messages, { tools: [...tools, ...tools] }), /to differ in name, got two ping/],
    [(ctx) => ctx.chat(messages, { toolChoice: "required" }), /one of its tools \(none\), got "required"/],
    [
      (ctx) => ctx.chat(messages, { tools, toolChoice: { name: "pong" } }),
      /one of its tools \(ping\), got {"name":"pong"}/,
    ],
    [(ctx) => ctx.describeTools([ping, ping]), /to differ in name, got two ping/],
    [(ctx) => ctx.describeTools([texts]), /the input of texts to be an object/],
  ];
  for (const [call, message] of calls) {
    const end = await given(asking((ctx) => call(ctx))).when(start());
    assert.ok(end.closing?.kind === "OrchestrationFailed", String(call));
    assert.equal(end.closing.error.code, "configuration_invalid");
    assert.match(end.closing.error.message, message);
  }
});

test("a conversation cut off at maxTokens is an error of kind truncated, as anywhere", async () => {
  const ask: Ask = (ctx) =>
    ctx.chat(messages, {}, { maxTokens: 3 }).catch((error: unknown) => (error as StetError).details);

  const end = await bothWays(asking(ask), [[start()], [answer.said(2, "It is", { finishReason: "length" })]]);

  assert.deepEqual(outputOf(end), { kind: "truncated", text: "It is" });
});
