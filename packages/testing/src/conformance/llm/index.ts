/**
 * The conformance suite of the model seam: what an `LlmProvider` promises, stated as tests against a server on this
 * machine that says what it is told. Whoever writes a provider describes the vendor's dialect once and runs it.
 */
import { describe } from "node:test";
import { aborts } from "./aborts.ts";
import { answers } from "./answers.ts";
import { Bench, type Chapter } from "./bench.ts";
import { brokenAnswers } from "./broken-answers.ts";
import type { LlmDialect } from "./dialect.ts";
import { errorAnswers } from "./error-answers.ts";
import { requests } from "./requests.ts";
import { secrecy } from "./secrecy.ts";
import { streams } from "./streams.ts";
import { structuredOutput } from "./structured-output.ts";
import { timeouts } from "./timeouts.ts";
import { tools } from "./tools.ts";
import { vectors } from "./vectors.ts";

const chapters: readonly Chapter[] = [
  requests,
  answers,
  streams,
  tools,
  structuredOutput,
  errorAnswers,
  brokenAnswers,
  timeouts,
  aborts,
  vectors,
  secrecy,
];

/**
 * Registers the suite with `node:test`. A server of its own answers all requests, so it runs offline.
 *
 * @example
 * ```ts
 * testLlmProvider("my vendor", dialect);
 * ```
 */
export function testLlmProvider(name: string, dialect: LlmDialect): void {
  describe(`LLM provider: ${name}`, () => {
    const bench = new Bench(dialect);
    for (const chapter of chapters) chapter(bench);
  });
}
