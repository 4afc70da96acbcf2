/** Imported before a sample: the one line that changes is changed for it. */
import { register } from "node:module";

const instead = new URL("sqlite-in-postgres.ts", import.meta.url).href;
const hooks = `export const resolve = (specifier, context, next) =>
  next(specifier === "@stet/sqlite" ? ${JSON.stringify(instead)} : specifier, context);`;

register(`data:text/javascript,${encodeURIComponent(hooks)}`);
