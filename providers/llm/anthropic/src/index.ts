/** The public names of `@stet/anthropic`. */
export { anthropic, type AnthropicOptions } from "./anthropic.ts";
