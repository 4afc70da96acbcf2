/** OpenAI keeps the promises that all providers make, in both of its ways to be asked, and on Azure. */
import { azureOpenai } from "@stet/openai";
import { type LlmDialect, testLlmProvider } from "@stet/testing";
import { chatDialect, responsesDialect } from "./openai-dialects.ts";

testLlmProvider("openai, chat completions", chatDialect);
testLlmProvider("openai, responses", responsesDialect);

const apiVersion = "2024-10-21";

/** The same bodies at another address, with the deployment where the model was. */
function onAzure(dialect: LlmDialect, pathOf: (deployment: string) => string): LlmDialect["golden"] {
  const entries = Object.entries(dialect.golden).map(([name, { body }]) => {
    const deployment = name === "settings" ? "another-model" : "support";
    const path = `${pathOf(deployment)}?api-version=${apiVersion}`;
    return [name, { path, body: { ...(body as object), model: deployment } }];
  });
  return Object.fromEntries(entries) as LlmDialect["golden"];
}

testLlmProvider("azure openai, chat completions with a key", {
  ...chatDialect,
  open: ({ origin: endpoint, apiKey, headers, timeoutMs: timeout }) =>
    azureOpenai({ endpoint, deployment: "support", model: "gpt-5", apiVersion, apiKey, headers, timeout }),
  authorization: (apiKey) => ["api-key", apiKey],
  golden: onAzure(chatDialect, (deployment) => `/openai/deployments/${deployment}/chat/completions`),
});

testLlmProvider("azure openai, responses with a token", {
  ...responsesDialect,
  open: ({ origin: endpoint, apiKey, headers, timeoutMs: timeout }) => {
    const tokenProvider = (): Promise<string> => Promise.resolve(apiKey);
    return azureOpenai({
      endpoint,
      deployment: "support",
      apiVersion,
      tokenProvider,
      api: "responses",
      headers,
      timeout,
    });
  },
  golden: onAzure(responsesDialect, () => "/openai/responses"),
});
