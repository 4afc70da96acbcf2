/** How long the server asked to wait, in milliseconds. */

/** Reads `retry-after-ms` (milliseconds), then `retry-after` (seconds, or a date that is compared with the server's own clock). */
export function retryAfterMs(headers: Pick<Headers, "get"> | undefined, now: number): number | undefined {
  const ms = numeric(headers?.get("retry-after-ms"));
  if (ms !== undefined) return ms;
  const given = headers?.get("retry-after") ?? undefined;
  const seconds = numeric(given);
  if (seconds !== undefined) return seconds * 1000;
  if (given === undefined || !/[a-z]/i.test(given)) return undefined; // Date.parse reads "-1" as a year
  const at = Date.parse(given);
  if (Number.isNaN(at)) return undefined;
  const serverNow = Date.parse(headers?.get("date") ?? "");
  return Math.max(0, at - (Number.isNaN(serverNow) ? now : serverNow));
}

function numeric(text: string | null | undefined): number | undefined {
  if (text === null || text === undefined || !/^\s*\d+(\.\d+)?\s*$/.test(text)) return undefined;
  return Number(text);
}
