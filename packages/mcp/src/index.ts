/** The public names of `@stet/mcp`. */
export { type McpChanges, type McpServer, mcpServer, type McpServerOptions } from "./mcp-server.ts";
export type { McpTool } from "./pin.ts";
