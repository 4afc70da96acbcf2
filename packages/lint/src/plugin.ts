/** The plugin: rules for orchestrations, for ESLint and for oxlint. */
import type { ESLint, Linter, Rule } from "eslint";
import { noAmbient } from "./rules/no-ambient.ts";
import { noFloatingDurable } from "./rules/no-floating-durable.ts";
import { noForeignAwait } from "./rules/no-foreign-await.ts";
import { noModuleState } from "./rules/no-module-state.ts";
import { noUnorderedIteration } from "./rules/no-unordered-iteration.ts";

const rules: { readonly [name: string]: Rule.RuleModule } = {
  "no-ambient": noAmbient,
  "no-floating-durable": noFloatingDurable,
  "no-foreign-await": noForeignAwait,
  "no-module-state": noModuleState,
  "no-unordered-iteration": noUnorderedIteration,
};

/** What the default export of this package is. */
export interface StetPlugin extends ESLint.Plugin {
  readonly configs: {
    /** All rules as errors, under the prefix `@stet/lint`, for the flat configuration of ESLint. */
    readonly recommended: Linter.Config;
  };
}

const plugin: ESLint.Plugin = { meta: { name: "@stet/lint" }, rules: { ...rules } };

const recommended: Linter.Config = {
  name: "@stet/lint/recommended",
  plugins: { "@stet/lint": plugin },
  rules: Object.fromEntries(Object.keys(rules).map((name) => [`@stet/lint/${name}`, "error"])),
};

/**
 * Says while typing what the engine would find when it runs or replays an orchestration.
 *
 * @example
 * ```js
 * // eslint.config.js
 * import stet from "@stet/lint";
 *
 * export default [stet.configs.recommended];
 * ```
 */
export const stet: StetPlugin = Object.assign(plugin, { configs: { recommended } });
