/**
 * What model calls cost. The packaged prices are a table that ships with a dependency and is read from disk: nothing is
 * fetched. A price that is not known stays unknown: a guess would be taken for a bill.
 */
import type { LlmUsage } from "./conversation.ts";

/** A call to be priced. */
export interface PricedCall {
  /** The provider's name, e.g. `"openai"`. */
  readonly provider: string;
  /** The model that answered, as the vendor names it. */
  readonly model: string;
  readonly usage: LlmUsage;
  /** When it was answered, in epoch milliseconds: prices change. */
  readonly at: number;
}

/** What a call costs in USD, or `undefined` when that is not known. */
export type Prices = (call: PricedCall) => number | undefined;

/** As the table names providers that have another name here. */
const tableNames: { readonly [provider: string]: string } = { "azure-openai": "azure" };

/**
 * The prices that come with this library, by provider and model, as they were when it was released.
 *
 * @example Prices of one's own beside them
 * ```ts
 * const packaged = await packagedPrices();
 * const prices: Prices = (call) => (call.provider === "ollama" ? 0 : packaged(call));
 * const runtime = await Runtime.start({ storage, llm, prices, orchestrations });
 * ```
 */
export async function packagedPrices(): Promise<Prices> {
  const { calcPrice } = await import("@pydantic/genai-prices"); // 2 MB: only where models are called
  return ({ provider, model, usage, at }) => {
    const { inputTokens, outputTokens, cachedTokens } = usage;
    const tokens = {
      input_tokens: inputTokens,
      output_tokens: outputTokens,
      ...(cachedTokens !== undefined && { cache_read_tokens: cachedTokens }),
    };
    const price = calcPrice(tokens, model, { providerId: tableNames[provider] ?? provider, timestamp: new Date(at) });
    return price?.total_price;
  };
}

/** A price that can be believed, or none: prices of users' own never fail a call that has been paid for. */
export function costOf(call: PricedCall, prices: Prices): number | undefined {
  try {
    const usd = prices(call);
    return usd !== undefined && Number.isFinite(usd) && usd >= 0 ? Number(usd.toFixed(12)) : undefined;
  } catch {
    return undefined; // unpriced, and counted as such
  }
}
