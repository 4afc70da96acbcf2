/** How definitions look to people: in diagrams and lists. Nothing of it is recorded, and nothing runs differently for it. */
import { ConfigurationError } from "./errors.ts";
import { assertChoice, assertOptions, type NamesOf, shown } from "./options.ts";

/** Colours of nodes in diagrams. Each renderer has its own shade, on which dark text can be read. */
export type DiagramColor = "blue" | "green" | "yellow" | "orange" | "red" | "purple" | "grey";

/** How a definition is drawn. */
export interface DiagramOptions {
  /** Stands before the title: an emoji or a letter or two, at most 16 characters. @default none */
  readonly icon?: string;
  /** Of its nodes, wherever it is called. @default by what is called: activities are blue, orchestrations green */
  readonly color?: DiagramColor;
}

/** What a definition may say of its looks. */
interface Appearance {
  readonly title?: string;
  readonly diagram?: DiagramOptions;
}

const diagramOptions: NamesOf<DiagramOptions> = { icon: true, color: true };
const colors: readonly string[] = ["blue", "green", "yellow", "orange", "red", "purple", "grey"];

/** @throws ConfigurationError when the title or an option of the diagram is wrong. */
export function assertAppearance({ title, diagram }: Appearance, what: string): void {
  if (title !== undefined) assertLine(title, 100, `the title of ${what}`);
  if (diagram === undefined) return;
  assertOptions(diagram, diagramOptions, `the diagram of ${what}`);
  assertChoice(diagram.color, colors, `color in the diagram of ${what}`);
  if (diagram.icon !== undefined) assertLine(diagram.icon, 16, `icon in the diagram of ${what}`);
}

function assertLine(text: unknown, most: number, what: string): void {
  if (typeof text !== "string" || text.trim() === "" || text.length > most || /[\u0000-\u001f\u007f]/.test(text)) {
    throw new ConfigurationError(`Expected ${what} to be one line of 1 to ${most} characters, got ${shown(text)}`);
  }
}
