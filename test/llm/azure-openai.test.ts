/** What is Azure's own: deployments, versions, keys and tokens. */
import assert from "node:assert/strict";
import test from "node:test";
import { azureOpenai, type AzureOpenAiOptions, openai } from "@stet/openai";
import { ask, callOptions, failure, user } from "./asking.ts";
import { saying } from "./openai-harness.ts";

const place = { endpoint: "https://me.openai.azure.com/", apiVersion: "2024-10-21" } as const;

function wired(options: Partial<AzureOpenAiOptions> = {}, answer: () => Response = () => saying("ok")) {
  const sent: { url: string; headers: Headers; body: { [name: string]: unknown } }[] = [];
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input, init);
    const body = (await request.json()) as { [name: string]: unknown };
    sent.push({ url: request.url, headers: request.headers, body });
    return answer();
  };
  const key = options.tokenProvider === undefined ? { apiKey: "azure-key-1" } : {};
  return { llm: azureOpenai({ ...place, deployment: "support", ...key, fetch, ...options }), sent };
}

test("azureOpenai() says who it is", () => {
  const { llm } = wired({ model: "gpt-5" });

  assert.deepEqual([llm.name, llm.model, wired().llm.model], ["azure", "gpt-5", "support"]);
});

test("a request that names a model names a deployment", async () => {
  const { llm, sent } = wired();

  await ask(llm, { messages: [user("?")], model: "other" });

  assert.match(
    sent[0]?.url ?? "",
    /^https:\/\/me\.openai\.azure\.com\/openai\/deployments\/other\/chat\/completions\?/,
  );
  assert.equal(sent[0]?.body["model"], "other");
});

test("what the deployment is a deployment of decides how tokens are limited", async () => {
  const limited = async (options: Partial<AzureOpenAiOptions>): Promise<unknown> => {
    const { llm, sent } = wired(options);
    await ask(llm, { messages: [user("?")], maxTokens: 7 });
    return sent[0]?.body;
  };
  const body = { model: "support", messages: [{ role: "user", content: "?" }] };

  assert.deepEqual(await limited({ model: "gpt-5" }), { ...body, max_completion_tokens: 7 });
  assert.deepEqual(await limited({}), { ...body, max_tokens: 7 });
});

test("vectors are asked of a deployment of their own", async () => {
  const data = [{ index: 0, embedding: [1] }];
  const { llm, sent } = wired({ embeddingDeployment: "vectors" }, () => Response.json({ data }));

  await llm.embed?.(["a"], callOptions());

  assert.equal(
    sent[0]?.url,
    `https://me.openai.azure.com/openai/deployments/vectors/embeddings?api-version=2024-10-21`,
  );
});

test("a token is asked for before each call, and is not to be seen", async () => {
  let count = 0;
  const tokenProvider = (): Promise<string> => Promise.resolve(`token-5ecret-${++count}`);
  const { llm, sent } = wired({ tokenProvider }, () =>
    Response.json({ error: { message: `who is token-5ecret-${count}?` } }, { status: 401 }),
  );

  for (const number of [1, 2]) {
    const error = await failure(ask(llm, "?"));
    assert.equal(error.kind, "auth");
    assert.doesNotMatch(error.message, /5ecret/);
    assert.equal(sent.at(-1)?.headers.get("authorization"), `Bearer token-5ecret-${number}`);
    assert.equal(sent.at(-1)?.headers.get("api-key"), null);
  }
});

test("a token that is not to be had may be there later, and nothing is sent", async () => {
  for (const [tokenProvider, got] of [
    [() => Promise.reject(new Error("the directory is down")), "the directory is down"],
    [() => Promise.resolve(""), "an empty text"],
    [() => Promise.resolve(undefined as unknown as string), "undefined"],
  ] as const) {
    const { llm, sent } = wired({ tokenProvider });
    const error = await failure(ask(llm, "?"));
    assert.deepEqual([error.kind, error.retryable, sent.length], ["unavailable", true, 0]);
    assert.equal(error.message, `Expected the tokenProvider of azureOpenai() to give a token, got ${got}`);
  }
});

test("a prompt that the content filter stops is content_filter", async () => {
  const error = { code: "content_filter", message: "filtered", innererror: { code: "ResponsibleAIPolicyViolation" } };
  const { llm } = wired({}, () => Response.json({ error }, { status: 400 }));

  assert.equal((await failure(ask(llm, "?"))).kind, "content_filter");
});

test("azureOpenai() takes endpoint, version and key from the environment, and no other server", async (t) => {
  const names = ["AZURE_OPENAI_ENDPOINT", "OPENAI_API_VERSION", "AZURE_OPENAI_API_KEY", "OPENAI_BASE_URL"];
  const before = names.map((name) => process.env[name]);
  const set = (values: readonly (string | undefined)[]): void =>
    names.forEach((name, i) => {
      const value = values[i];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    });
  t.after(() => set(before));
  const seen: (string | null)[] = [];
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const { url, headers } = new Request(input, init);
    seen.push(url, headers.get("api-key"), headers.get("authorization"));
    return saying("ok");
  };

  set(["https://env.test", "2025-01-01", "env-key-1", "https://elsewhere.test/v1"]);
  await ask(azureOpenai({ deployment: "d", fetch }), "?");
  await ask(azureOpenai({ deployment: "d", fetch, tokenProvider: () => Promise.resolve("token-1") }), "?");

  const url = "https://env.test/openai/deployments/d/chat/completions?api-version=2025-01-01";
  assert.deepEqual(seen, [url, "env-key-1", null, url, null, "Bearer token-1"]);

  set([undefined, undefined, undefined, undefined]);
  const configuration = { code: "configuration_invalid" };
  const whole = { ...place, deployment: "d", apiKey: "k" };
  azureOpenai(whole);
  for (const option of ["endpoint", "apiVersion", "deployment", "apiKey"] as const) {
    const { [option]: _left, ...rest } = whole;
    assert.throws(() => azureOpenai(rest as AzureOpenAiOptions), { ...configuration, message: new RegExp(option) });
  }
  assert.throws(() => azureOpenai({ ...whole, tokenProvider: () => Promise.resolve("t") }), configuration);
  assert.throws(() => azureOpenai({ ...whole, endpoint: "me.openai.azure.com" }), configuration);
  assert.throws(() => azureOpenai({ ...whole, timeout: "soon" as "1s" }), configuration);
  assert.throws(() => azureOpenai({ ...whole, api: "completions" as "chat" }), configuration);
  assert.throws(() => openai({ model: "m", apiKey: "k", api: "toString" as "chat" }), configuration);
});
