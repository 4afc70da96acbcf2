/** Modules of the user's: the configuration, and the code that it names. The one place of the command line that imports what it does not know. */
import { pathToFileURL } from "node:url";

/** Imports a module of the user's, TypeScript or not. Node 20 runs no TypeScript by itself. */
export async function importModule(file: string): Promise<unknown> {
  if (/\.[cm]?tsx?$/.test(file)) await allowTypeScript();
  return import(pathToFileURL(file).href);
}

let allowed: Promise<unknown> | undefined;

function allowTypeScript(): Promise<unknown> {
  return (allowed ??= import("tsx/esm/api").then(({ register }) => register()));
}
