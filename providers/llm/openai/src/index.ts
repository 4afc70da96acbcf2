/** The public names of `@stet/openai`. */
export { azureOpenai, type AzureOpenAiOptions } from "./azure-openai.ts";
export { openai, type OpenAiOptions } from "./openai.ts";
export type { OpenAiApi } from "./api.ts";
