/** Where a vendor is, and what may be said to it in a header. */
import { ConfigurationError } from "../../errors.ts";

/**
 * The address of a server, without slashes at its end.
 *
 * @param option - How errors name it, e.g. `"baseURL of openai()"`.
 * @throws ConfigurationError unless it is an http(s) address without credentials. The message does not repeat it.
 */
export function serverAddress(given: string, option: string): string {
  const url = URL.canParse(given) ? new URL(given) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") {
    throw new ConfigurationError(
      `Expected the ${option} to be an http(s) address without a user name and password, got another text`,
    );
  }
  return given.replace(/\/+$/, "");
}

/** A text that may stand in a header: printable ASCII only, though instance ids may be anything. */
export function headerText(text: string): string {
  return /^[\x21-\x7e]+$/.test(text) ? text : encodeURIComponent(text);
}
