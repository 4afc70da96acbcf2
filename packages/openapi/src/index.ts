/** The public names of `@stet/openapi`. */
export { openApiTools, type OpenApiOptions } from "./openapi-tools.ts";
export type { ApiOperation } from "./operations.ts";
