/**
 * The tickets: plain text files, one ticket each. The twelve in `samples/data/` come with the answers a good model gives.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** What a customer wrote. */
export interface Ticket {
  /** The name of its file. */
  readonly id: string;
  readonly text: string;
}

/** What `samples/data/expected.json` says of a ticket. */
export interface Expected {
  readonly file: string;
  readonly kind: string;
  readonly entitled?: boolean;
  readonly hostile?: boolean;
  readonly customer: string | null;
  readonly order: string | null;
  readonly product: string | null;
  readonly amount: string | null;
  readonly summary: string;
}

const dataFolder = fileURLToPath(new URL("../data/", import.meta.url));

/** Where the twelve are. */
export const ticketFolder: string = join(dataFolder, "tickets");

/** The ticket in a file, or all `.txt` and `.md` files of a folder, in the order of their names. */
export function readTickets(path: string): Ticket[] {
  const files = statSync(path).isDirectory()
    ? readdirSync(path)
        .filter((name) => [".txt", ".md"].includes(extname(name)))
        .sort()
        .map((name) => join(path, name))
    : [path];
  return files.map((file) => ({ id: basename(file, extname(file)), text: readFileSync(file, "utf8") }));
}

/** The id of the instance that looks after a ticket. */
export function instanceIdOf(ticket: Ticket): string {
  return `ticket-${ticket.id}`;
}

/** The expectations by ticket id. */
export function readExpected(): Map<string, Expected> {
  const all: Expected[] = JSON.parse(readFileSync(join(dataFolder, "expected.json"), "utf8"));
  return new Map(all.map((expected) => [basename(expected.file, ".txt"), expected]));
}
