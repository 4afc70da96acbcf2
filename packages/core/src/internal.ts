/** What the other packages of this house use and nobody else is promised. */
export { durationMs } from "./duration.ts";
