/** The public names of `@stet/openai`. */
export { openai, type OpenAiOptions } from "./openai.ts";
