/** OpenAI keeps the promises that all providers make, in both of its ways to be asked. */
import { testLlmProvider } from "@stet/testing";
import { chatDialect, responsesDialect } from "./openai-dialects.ts";

testLlmProvider("openai, chat completions", chatDialect);
testLlmProvider("openai, responses", responsesDialect);
