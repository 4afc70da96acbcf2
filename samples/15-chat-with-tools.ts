/**
 * A conversation with tools: the model asks for activities, they run as durable activities do, and their answers go back
 * to it. This loop is what agents are made of.
 *
 * The conversation is sent again with every call, and stored once: each call adds its new messages.
 *
 * Prints:
 *   tools: findOrder, refund
 *   model wants findOrder {"id":"A-100"}
 *   model wants refund {"id":"A-100","amount":25}
 *   model says: I have given back 25 EUR for order A-100.
 *   messages: 6, activities: findOrder, refund
 */
import { activity, type LlmMessage, orchestration, Runtime } from "@stet/core";
import { callTool, mock } from "@stet/mock";
import { openai } from "@stet/openai";
import { sqlite } from "@stet/sqlite";
import { z } from "zod";

const findOrder = activity(
  "findOrder",
  { description: "Finds an order by its id.", input: z.object({ id: z.string() }) },
  async (_ctx, { id }) => ({ id, paid: 25, state: "arrived broken" }),
);

const refund = activity(
  "refund",
  {
    description: "Gives money back, in EUR.",
    effect: "irreversible",
    input: z.object({ id: z.string(), amount: z.number().positive() }),
  },
  async (_ctx, { amount }) => `gave back ${amount} EUR`,
);

const tools = [refund, findOrder];

const help = orchestration("help", async (ctx, wish: string) => {
  const described = ctx.describeTools(tools);
  const messages: LlmMessage[] = [
    { role: "system", content: "You help customers. Look orders up before you decide." },
    { role: "user", content: wish },
  ];
  for (let turn = 0; turn < 10; turn++) {
    const said = await ctx.chat(messages, { tools: described });
    messages.push(said);
    if (said.toolCalls === undefined) return { said: said.content, messages: messages.length - 1 };
    for (const { id, name, arguments: input } of said.toolCalls) {
      ctx.emit(`model wants ${name} ${JSON.stringify(input)}`);
      const known = tools.some((tool) => tool.name === name);
      const result = known
        ? await ctx.activity(name, input).catch((error: unknown) => String(error)) // the model may do better next time
        : `There is no tool ${name}.`;
      messages.push({ role: "tool", toolCallId: id, content: JSON.stringify(result) });
    }
  }
  throw new Error("Expected an answer within ten turns, got none");
});

const scripted = mock().on(
  "chat",
  callTool("findOrder", { id: "A-100" }),
  callTool("refund", { id: "A-100", amount: 25 }),
  "I have given back 25 EUR for order A-100.",
);

const runtime = await Runtime.start({
  storage: sqlite(":memory:"),
  llm: process.env["OPENAI_API_KEY"] ? openai({ model: "gpt-5-mini" }) : scripted,
  orchestrations: [help],
  activities: tools,
});

const handle = await runtime.startOrchestration(help, "My order A-100 arrived broken. I want my money back.");
const { said, messages } = await handle.result();
const history = await handle.history();
const offered = history.flatMap((event) => (event.kind === "LlmRequested" ? (event.request.tools ?? []) : []));
const ran = history.flatMap((event) => (event.kind === "ActivityScheduled" ? [event.name] : []));

console.log("tools:", [...new Set(offered.map(({ name }) => name))].join(", "));
for await (const { data } of handle.outputs()) console.log(data);
console.log("model says:", said);
console.log(`messages: ${messages}, activities: ${ran.join(", ")}`);

await runtime.shutdown();
