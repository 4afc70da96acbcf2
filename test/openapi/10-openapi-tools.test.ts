/** Tools from an OpenAPI document, against a real server that writes down what it hears. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { openApiTools, type OpenApiOptions } from "@stet/openapi";
import { callTool, type MockAnswer } from "@stet/mock";
import { finish, start } from "../agent/world.ts";

const order = { type: "object", properties: { item: { type: "string" }, part: { $ref: "#/components/schemas/Part" } } };
const document = {
  openapi: "3.1.0",
  info: { title: "Shop", version: "1" },
  components: {
    schemas: { Part: { type: "object", required: ["size"], properties: { size: { type: "integer", minimum: 1 } } } },
    parameters: { Id: { name: "id", in: "path", required: true, schema: { type: "string" } } },
  },
  paths: {
    "/orders/{id}": {
      parameters: [{ $ref: "#/components/parameters/Id" }],
      get: {
        operationId: "getOrder",
        summary: "Finds an order.",
        parameters: [
          { name: "fields", in: "query", schema: { type: "array", items: { type: "string" } } },
          { name: "authorization", in: "header", schema: { type: "string" } },
        ],
        responses: { 200: { description: "found" } },
      },
      delete: { responses: { 204: { description: "gone" } } },
    },
    "/orders": {
      post: {
        operationId: "order",
        requestBody: { required: true, content: { "application/json": { schema: order } } },
        responses: { 201: { description: "made" } },
      },
    },
  },
};

/** The shop, what it has heard, and what comes of the calls that a model asks for. */
async function shop(
  t: TestContext,
  answers: readonly MockAnswer[],
  reply: (request: IncomingMessage, response: ServerResponse) => void,
  options: Partial<OpenApiOptions> = {},
) {
  const heard: { readonly line: string; readonly headers: IncomingMessage["headers"]; readonly body: string }[] = [];
  const http = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method, url, headers } = request;
      heard.push({ line: `${method} ${url}`, headers, body: Buffer.concat(chunks).toString() });
      reply(request, response);
    });
  });
  await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
  t.after(() => http.close().closeAllConnections());
  const baseUrl = `http://127.0.0.1:${(http.address() as AddressInfo).port}/v1/`;
  const tools = await openApiTools("shop", {
    document,
    baseUrl,
    headers: { authorization: "Bearer house" },
    ...options,
  });
  const { env, fixer, llm } = await start(t, { tools: [tools] }, [...answers, finish("success", ".")]);
  const { actions } = await env.result(await env.startOrchestration(fixer, { goal: "Shop" }));
  const told = llm.calls.at(-1)?.request.messages.filter(({ role }) => role === "tool") ?? [];
  return {
    tools,
    heard,
    actions,
    told: told.map(({ content }) => content.replaceAll(/<\/?text-[\w-]+>\n?/g, "").trim()),
  };
}

test("operations are tools: arguments go where the document says, and the keys of the house with them", async (t) => {
  const { tools, heard, told } = await shop(
    t,
    [
      callTool("shop_getOrder", { id: "a/b?c", fields: ["x", "y z"], authorization: "Bearer model" }),
      callTool("shop_order", { body: { item: "lamp", part: { size: 2 } } }),
      callTool("shop_delete_orders_id_", { id: "7" }),
    ],
    ({ method }, response) => {
      response.statusCode = method === "DELETE" ? 204 : 200;
      response.end(method === "DELETE" ? "" : '{"ok":true}');
    },
  );

  assert.deepEqual(
    tools.tools.map(({ name, effect }) => [name, effect]),
    [
      ["shop_delete_orders_id_", "idempotent"],
      ["shop_getOrder", "pure"],
      ["shop_order", "irreversible"],
    ],
  );
  assert.deepEqual(told, ['It answered:\n{"ok":true}', 'It answered:\n{"ok":true}', "It answered:\ndone (204)"]);
  assert.deepEqual(
    heard.map(({ line }) => line),
    ["GET /v1/orders/a%2Fb%3Fc?fields=x&fields=y+z", "POST /v1/orders", "DELETE /v1/orders/7"],
  );
  assert.deepEqual([...new Set(heard.map(({ headers }) => headers.authorization))], ["Bearer house"]);
  assert.equal(heard[1]?.body, '{"item":"lamp","part":{"size":2}}');
  assert.match(String(heard[1]?.headers["idempotency-key"]), /\/\d+$/);
});

test("arguments are checked by the schemas of the document, references resolved, before anything is sent", async (t) => {
  const { heard, actions } = await shop(
    t,
    [
      callTool("shop_order", { body: { item: "lamp", part: { size: 0 } } }),
      callTool("shop_order", { item: "lamp" }),
      callTool("shop_getOrder", { id: ".." }),
    ],
    (_request, response) => void response.end(),
  );

  assert.deepEqual(heard, []);
  assert.deepEqual(actions, { shop_order: { refused: 2 }, shop_getOrder: { failed: 1 } });
});

test("refusals are failures; an irreversible call that breaks off or meets a broken server is of unknown outcome", async (t) => {
  let posts = 0;
  const isFirst = () => posts++ === 0;
  const { told, actions } = await shop(
    t,
    [
      callTool("shop_getOrder", { id: "1" }),
      callTool("shop_order", { body: { item: "a" } }),
      callTool("shop_order", { body: { item: "b" } }),
      callTool("shop_delete_orders_id_", { id: "1" }),
    ],
    ({ method, socket }, response) => {
      if (method === "GET") return void response.writeHead(404).end("no order 1");
      if (method === "DELETE") return void response.writeHead(302, { location: "http://127.0.0.1:1/evil" }).end();
      if (isFirst()) return void response.writeHead(502).end("bad gateway");
      socket.destroy();
    },
  );

  assert.equal(told[0], "It failed:\ngetOrder was answered with status 404: no order 1");
  assert.match(told[1] ?? "", /^Nobody knows whether it happened:/);
  assert.match(told[3] ?? "", /^It failed:\ndelete \/orders\/\{id\} was answered with status 302/);
  assert.deepEqual(actions["shop_order"], { unknown: 2 });
});

test("an answer without end is cut", async (t) => {
  const { told } = await shop(
    t,
    [callTool("shop_getOrder", { id: "1" })],
    (_request, response) => {
      const pour = (): void => {
        while (!response.destroyed && response.write("x".repeat(1000)));
      };
      response.on("drain", pour);
      pour();
    },
    { maxResponseBytes: 10 },
  );

  assert.equal(told[0], "It answered:\nxxxxxxxxxx\n... (cut: there were more than 10 bytes)");
});

test("a server that is not there has heard nothing, so an irreversible call has just failed", async (t) => {
  const gone = createServer();
  await new Promise<void>((resolve) => gone.listen(0, "127.0.0.1", resolve));
  const { port } = gone.address() as AddressInfo;
  await new Promise((resolve) => gone.close(resolve));

  const { actions } = await shop(t, [callTool("shop_order", { body: {} })], () => undefined, {
    baseUrl: `http://127.0.0.1:${port}`,
  });

  assert.deepEqual(actions, { shop_order: { failed: 1 } });
});

test("what is no document, names what is not there or takes no JSON is refused, and files are not read", async () => {
  const refused = (options: OpenApiOptions, message: RegExp) =>
    assert.rejects(openApiTools("shop", options), { code: "configuration_invalid", message });
  const baseUrl = "http://127.0.0.1:1";
  const { post } = document.paths["/orders"];
  const form = { ...post, requestBody: { content: { "text/csv": {} } } };

  await refused({ document: { openapi: "3.1.0" }, baseUrl }, /OpenAPI document/);
  await refused(
    { document, baseUrl, only: ["pay"] },
    /name operations \(getOrder, delete \/orders\/\{id\}, order\), got pay/,
  );
  await refused({ document }, /give baseUrl/);
  await refused({ document: { ...document, paths: { "/f": { post: form } } }, baseUrl }, /take JSON, got text\/csv/);
  const outside = {
    ...post,
    requestBody: { content: { "application/json": { schema: { $ref: "file:///etc/passwd" } } } },
  };
  const tools = await openApiTools("shop", { document: { ...document, paths: { "/f": { post: outside } } }, baseUrl });
  assert.match(tools.tools[0]?.description ?? "", /"\$ref":"file:\/\/\/etc\/passwd"/);
});
