/** The public names of `@stet/openai`. */
export { openai, type OpenAiApi, type OpenAiOptions } from "./openai.ts";
