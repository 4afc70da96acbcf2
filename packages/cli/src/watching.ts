/** An instance on the terminal while it runs: a line for each thing that begins and comes out, and how it ended. */
import type { Client, InstanceState, StorageProvider } from "@stet/core";
import { exitCodes } from "./exit-codes.ts";
import { follow, type Happening } from "./follow.ts";
import type { Colors } from "./output.ts";
import { entryInWords } from "./portrait.ts";
import type { Session } from "./session.ts";
import { brief, durationInWords, statusInColor } from "./words.ts";

/** Prints what happens to an instance until it is at rest. What is not completed is a bad answer. */
export async function watchInstance(
  session: Session,
  client: Client,
  storage: StorageProvider,
  instanceId: string,
): Promise<void> {
  session.exitCode = exitCodes.interrupted;
  const { signal } = session.io;
  for await (const happening of follow({ client, storage, signal }, instanceId)) {
    session.out.line(happening, ({ colors }) => happeningInWords(happening, colors));
    if (!("atRest" in happening)) continue;
    session.exitCode = happening.atRest.status === "completed" ? exitCodes.ok : exitCodes.bad;
  }
}

/** One line: when, and what. */
export function happeningInWords(happening: Happening, colors: Colors): string {
  if ("atRest" in happening) return endInWords(happening.atRest, colors);
  const { at, tookMs = 0 } = happening.entry;
  return `${colors.dim(new Date(at + tookMs).toISOString().slice(11, 23))}  ${entryInWords(happening.entry, colors)}`;
}

function endInWords({ status, createdAt, updatedAt, output, error }: InstanceState, colors: Colors): string {
  const said = error?.message ?? brief(output, 200);
  return `${statusInColor(status, colors)} after ${durationInWords(updatedAt - createdAt)}${said === "" ? "" : `: ${said}`}`;
}
