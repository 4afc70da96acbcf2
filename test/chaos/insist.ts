/** Does again what failed because the store was away. It may have been done before the answer was lost. */
import { isStetError } from "@stet/core";
import { until } from "./until.ts";

/** The result, as soon as there is one. */
export async function insist<Result>(attempt: () => Promise<Result>): Promise<Result> {
  const results: Result[] = [];
  const succeeds = async () => {
    try {
      results.push(await attempt());
      return true;
    } catch (error) {
      if (isStetError(error, "storage_failed") && error.retryable) return false;
      throw error;
    }
  };
  await until("the store to answer", succeeds, { everyMs: 100 });
  return results[0]!;
}
