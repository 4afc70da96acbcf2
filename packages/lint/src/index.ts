/** The public names of `@stet/lint`. */
export { stet as default, type StetPlugin } from "./plugin.ts";
