/** Who `openai()` asks, as whom, and what it refuses to be given. */
import assert from "node:assert/strict";
import test from "node:test";
import { openai } from "@stet/openai";
import { ask } from "./asking.ts";
import { saying } from "./openai-harness.ts";

test("openai() takes key and server from the environment", async (t) => {
  const { OPENAI_API_KEY, OPENAI_BASE_URL } = process.env;
  t.after(() => setEnvironment(OPENAI_API_KEY, OPENAI_BASE_URL));
  const urls: string[] = [];
  const keys: (string | null)[] = [];
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const request = new Request(input, init);
    urls.push(request.url);
    keys.push(request.headers.get("authorization"));
    return saying("ok");
  };

  setEnvironment("env-key-1", "http://env.test/v1/");
  await ask(openai({ model: "m", fetch }), "?");
  await ask(openai({ model: "m", fetch, apiKey: "own-key", baseURL: "http://own.test" }), "?");
  setEnvironment("env-key-2", undefined);
  await ask(openai({ model: "m", fetch }), "?");
  setEnvironment(undefined, undefined);
  await ask(openai({ model: "m", fetch, baseURL: "http://localhost:11434/v1" }), "?");

  assert.deepEqual(urls, [
    "http://env.test/v1/chat/completions",
    "http://own.test/chat/completions",
    "https://api.openai.com/v1/chat/completions",
    "http://localhost:11434/v1/chat/completions",
  ]);
  assert.deepEqual(keys, ["Bearer env-key-1", "Bearer own-key", "Bearer env-key-2", "Bearer no-key"]);
  const configuration = { code: "configuration_invalid" };
  assert.throws(() => openai({ model: "m" }), configuration);
  assert.throws(() => openai({ model: "m", baseURL: "https://api.openai.com/v1" }), configuration);
  assert.throws(() => openai({ model: "", apiKey: "k" }), configuration);
  assert.throws(() => openai({ model: "m", apiKey: "k", timeout: "soon" as "1s" }), configuration);
  for (const baseURL of ["localhost:11434", "ftp://x", "https://me:secret-word@x.test/v1"]) {
    assert.throws(
      () => openai({ model: "m", apiKey: "k", baseURL }),
      (error: Error) => !error.message.includes("secret-word") && error.name === "ConfigurationError",
    );
  }
});

test("openai() says who it is and what it can do", () => {
  const { name, model, capabilities } = openai({ model: "gpt-5", apiKey: "k" });

  assert.deepEqual([name, model], ["openai", "gpt-5"]);
  assert.deepEqual(capabilities, { structuredOutput: true, tools: true, streaming: true });
});

function setEnvironment(key: string | undefined, baseURL: string | undefined): void {
  for (const [name, value] of [
    ["OPENAI_API_KEY", key],
    ["OPENAI_BASE_URL", baseURL],
  ] as const) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}
