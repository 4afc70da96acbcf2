/** The same definitions under other names, from another file. */
export { charge as take, deliver, weighAndCharge as takeByWeight, warehouse } from "./definitions.ts";
export * as all from "./definitions.ts";
