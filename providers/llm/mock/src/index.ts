/** The public names of `@stet/mock`. */
export { mock, MockLlm, type MockOptions } from "./mock.ts";
export {
  after,
  callTool,
  cutShort,
  says,
  times,
  type AnswerDetails,
  type ExactAnswer,
  type MockAnswer,
  type MockAnswerFunction,
  type MockToolCall,
} from "./answers.ts";
export { cassette, type CassetteOptions } from "./cassette.ts";
export type { MockCall, MockOutcome } from "./calls.ts";
export type { CallMatcher, CallPattern, CallPredicate, TextMatcher } from "./matcher.ts";
export type { Delay } from "./waiting.ts";
