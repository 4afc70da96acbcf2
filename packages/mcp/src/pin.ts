/**
 * The pin: what a server said of its tools once, as a file. Descriptions of tools are read by models, so a server that
 * changes them changes what agents do; pinned, that happens when somebody refreshes the file and others review it.
 */
import { randomUUID } from "node:crypto";
import { readFile, rename, writeFile } from "node:fs/promises";
import { ConfigurationError } from "@stet/core";
import { z } from "zod";

/** A tool as its server describes it. */
export interface McpTool {
  readonly name: string;
  readonly description?: string | undefined;
  /** JSON Schema of its arguments. */
  readonly inputSchema: { readonly [keyword: string]: unknown; readonly type: "object" };
  /** What the server says of its nature. It may lie. */
  readonly annotations?: { readonly [hint: string]: unknown } | undefined;
}

const pinned: z.ZodType<{ readonly tools: readonly McpTool[] }> = z.object({
  tools: z.array(
    z.object({
      name: z.string().min(1),
      description: z.string().optional(),
      inputSchema: z.looseObject({ type: z.literal("object") }),
      annotations: z.record(z.string(), z.unknown()).optional(),
    }),
  ),
});

/** The tools of a pin, or nothing when there is no such file. @throws ConfigurationError when it holds something else. */
export async function readPin(file: string): Promise<readonly McpTool[] | undefined> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  return asTools(text, file);
}

/** Writes a pin whole, so that whoever reads it meanwhile finds the one before. Answers what was written. */
export async function writePin(file: string, tools: readonly McpTool[]): Promise<readonly McpTool[]> {
  const sorted = tools
    .map(({ name, description, inputSchema, annotations }) => ({ name, description, inputSchema, annotations }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const text = `${JSON.stringify({ tools: sorted }, undefined, 2)}\n`;
  const draft = `${file}.${randomUUID()}`;
  await writeFile(draft, text);
  await rename(draft, file);
  return asTools(text, file);
}

function asTools(text: string, file: string): readonly McpTool[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw notPinned(file, (error as Error).message);
  }
  const { success, data, error } = pinned.safeParse(value);
  if (success) return data.tools;
  throw notPinned(file, z.prettifyError(error));
}

function notPinned(file: string, problem: string): ConfigurationError {
  return new ConfigurationError(
    `Expected ${file} to hold the pinned tools of an MCP server, got: ${problem}. Delete it to ask the server again`,
  );
}
