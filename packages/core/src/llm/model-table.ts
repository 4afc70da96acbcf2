/**
 * Which provider answers a request, and what it is told about the model: by a name from the runtime's table, by
 * `"provider/model"`, or by the family that the name of a model shows. A name may stand for several models, of which the
 * next is asked when one fails.
 */
import { ConfigurationError, LlmError } from "../errors.ts";
import type { LlmProvider } from "./provider.ts";

/**
 * Providers by the names that orchestrations use. The default is the one called `default`, otherwise the first. A list of
 * names is a fallback chain: the models are asked in this order until one answers.
 *
 * @example
 * ```ts
 * const llm: LlmTable = {
 *   default: ["smart", "anthropic/claude-sonnet-4-5", "local"],
 *   smart: openai({ model: "gpt-5" }),
 *   claude: anthropic({ model: "claude-haiku-4-5" }),
 *   local: ollama({ model: "llama3.2" }),
 * };
 * ```
 */
export type LlmTable = { readonly [model: string]: LlmProvider | readonly string[] };

/** One model of one provider. */
export interface Route {
  /**
   * `"provider/model"`, whichever name it was asked by: limits and troubles are those of the model. Where several entries of
   * the table have such a name, two regions of one cloud for example, it goes on with ` (entry)` from the second on.
   */
  readonly name: string;
  readonly provider: LlmProvider;
  /** The vendor's name of the model unless it is the provider's own. */
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
  readonly #providers: readonly (readonly [entry: string, provider: LlmProvider])[];
  readonly #default: string;

  /** @throws ConfigurationError when the table names no provider, or a chain what is not there or itself. */
  constructor(llm: LlmProvider | LlmTable) {
    this.#table = isProvider(llm) ? { [llm.model]: llm } : llm;
    this.#providers = Object.entries(this.#table).flatMap(([entry, value]) =>
      isChain(value) ? [] : [[entry, value] as const],
    );
    const [first] = Object.keys(this.#table);
    if (first === undefined || this.#providers.length === 0) {
      throw new ConfigurationError("Expected llm to name at least one provider, got an empty table");
    }
    this.#default = Object.hasOwn(this.#table, "default") ? "default" : first;
    for (const [entry, value] of Object.entries(this.#table)) {
      if (isChain(value)) this.#assertChain(entry, value, []);
    }
  }

  /** The chains that the table names. */
  get chains(): Route[][] {
    return Object.entries(this.#table).flatMap(([entry, value]) => (isChain(value) ? [this.routes(entry)] : []));
  }

  /** The models to ask, in their order, each once. @throws LlmError `not_found`, naming what is registered. */
  routes(asked: string | undefined): Route[] {
    const routes = this.#all(asked ?? this.#default);
    return routes.filter(({ name }, index) => routes.findIndex((route) => route.name === name) === index);
  }

  /** The same for a name that is configured. @throws ConfigurationError unless it is of the table or `"provider/model"`. */
  configured(name: string, what: string): Route[] {
    this.#assertKnown(name, what);
    return this.routes(name);
  }

  #all(asked: string): Route[] {
    const entry = Object.hasOwn(this.#table, asked) ? this.#table[asked] : undefined;
    if (entry === undefined) return [this.#route(asked)];
    return isChain(entry) ? entry.flatMap((name) => this.#all(name)) : [this.#routeTo(entry)];
  }

  #route(asked: string): Route {
    const slash = asked.indexOf("/");
    if (slash > 0) return this.#named([asked.slice(0, slash)], asked.slice(slash + 1), asked);
    const family = families.find(([name]) => name.test(asked));
    if (family !== undefined) return this.#named(family[1], asked, asked);
    return this.#routeTo((this.#all(this.#default)[0] as Route).provider, asked);
  }

  /** Goes to the provider whose own the model is, if there is one. */
  #named(names: readonly string[], model: string, asked: string): Route {
    const named = this.#providers.filter(([entry, { name }]) => names.includes(entry) || names.includes(name));
    const found = named.find(([, provider]) => provider.model === model) ?? named[0];
    if (found !== undefined) return this.#routeTo(found[1], model);
    const registered = this.#providers.map(([entry, { name }]) => `${entry} (${name})`).join(", ");
    const [, fallback] = this.#providers[0] as readonly [string, LlmProvider];
    throw new LlmError(
      "not_found",
      `Expected a provider ${names.join(" or ")} for model ${asked}, got ${registered}: add one to llm of Runtime.start, or name one that is there, as in "${fallback.name}/${asked}"`,
    );
  }

  #routeTo(provider: LlmProvider, model: string = provider.model): Route {
    const isOwn = model === provider.model;
    const first = this.#providers.find(
      ([, { name, model: own }]) => name === provider.name && (!isOwn || own === model),
    );
    const entry = this.#providers.find(([, other]) => other === provider)?.[0];
    const name = `${provider.name}/${model}${first?.[1] === provider ? "" : ` (${entry})`}`;
    return { name, provider, ...(!isOwn && { model }) };
  }

  #assertChain(entry: string, chain: readonly string[], above: readonly string[]): void {
    const path = [...above, entry];
    if (chain.length === 0) throw new ConfigurationError(`Expected the chain ${entry} of llm to name models, got none`);
    for (const name of chain) {
      if (path.includes(name)) {
        throw new ConfigurationError(
          `Expected the chain ${path[0]} of llm to come to an end, got ${[...path, name].join(" -> ")}`,
        );
      }
      const next = Object.hasOwn(this.#table, name) ? this.#table[name] : undefined;
      if (next !== undefined && isChain(next)) this.#assertChain(name, next, path);
      else this.#assertKnown(name, `the chain ${entry} of llm`);
    }
  }

  /** What would go to the default provider under a name of its own is a slip where models are configured. */
  #isKnown(name: string): boolean {
    if (Object.hasOwn(this.#table, name)) return true;
    try {
      this.#route(name);
      return name.includes("/") || families.some(([family]) => family.test(name));
    } catch {
      return false;
    }
  }

  #assertKnown(name: string, what: string): void {
    if (this.#isKnown(name)) return;
    throw new ConfigurationError(
      `Expected ${what} to name models of the llm table or "provider/model", got ${JSON.stringify(name)}; the table has ${Object.keys(this.#table).join(", ")}`,
    );
  }
}

function isChain(entry: LlmProvider | readonly string[]): entry is readonly string[] {
  return Array.isArray(entry);
}

function isProvider(llm: LlmProvider | LlmTable): llm is LlmProvider {
  return typeof (llm as LlmProvider).complete === "function";
}
