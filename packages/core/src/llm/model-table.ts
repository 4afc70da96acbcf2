/**
 * Which provider answers a request, and what it is told about the model: by a name from the runtime's table, by
 * `"provider/model"`, or by the family that the name of a model shows.
 */
import { ConfigurationError, LlmError } from "../errors.ts";
import type { LlmProvider } from "./provider.ts";

/** Providers by the names that orchestrations use. The default is the one called `default`, otherwise the first. */
export type LlmTable = { readonly [model: string]: LlmProvider };

/** A provider, and the vendor's name of the model unless it is the provider's own. */
export interface Route {
  readonly provider: LlmProvider;
  readonly model?: string;
}

/** Models that show in their names whose they are, and the providers that have them. */
const families: readonly (readonly [name: RegExp, providers: readonly string[]])[] = [
  [/^(gpt-|chatgpt-|o\d|text-embedding-)/, ["openai", "azure-openai"]],
  [/^claude-/, ["anthropic"]],
];

/** See the head of the file. */
export class ModelTable {
  readonly #table: LlmTable;
  readonly #default: LlmProvider;

  /** @throws ConfigurationError when the table is empty. */
  constructor(llm: LlmProvider | LlmTable) {
    this.#table = isProvider(llm) ? { [llm.model]: llm } : llm;
    const first = this.#table["default"] ?? Object.values(this.#table)[0];
    if (first === undefined) {
      throw new ConfigurationError("Expected llm to name at least one provider, got an empty table");
    }
    this.#default = first;
  }

  /** @throws LlmError `not_found`, naming what is registered. */
  route(asked: string | undefined): Route {
    if (asked === undefined) return { provider: this.#default };
    if (Object.hasOwn(this.#table, asked)) return { provider: this.#table[asked] as LlmProvider };
    const slash = asked.indexOf("/");
    if (slash > 0) return { provider: this.#named([asked.slice(0, slash)], asked), model: asked.slice(slash + 1) };
    const family = families.find(([name]) => name.test(asked));
    return { provider: family === undefined ? this.#default : this.#named(family[1], asked), model: asked };
  }

  #named(names: readonly string[], asked: string): LlmProvider {
    const providers = Object.entries(this.#table);
    const found = providers.find(([entry, { name }]) => names.includes(entry) || names.includes(name));
    if (found !== undefined) return found[1];
    const registered = providers.map(([entry, { name }]) => `${entry} (${name})`).join(", ");
    throw new LlmError(
      "not_found",
      `Expected a provider ${names.join(" or ")} for model ${asked}, got ${registered}: add one to llm of Runtime.start, or name one that is there, as in "${this.#default.name}/${asked}"`,
    );
  }
}

function isProvider(llm: LlmProvider | LlmTable): llm is LlmProvider {
  return typeof (llm as LlmProvider).complete === "function";
}
