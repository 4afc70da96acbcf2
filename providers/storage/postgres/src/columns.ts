/**
 * Rows that are handed in as columns: for what is written row by row on the hot path, where taking objects apart costs
 * the server more than writing what is in them. Texts go as one JSON array, the rest as PostgreSQL's own.
 */
import { toJson } from "./values.ts";

/** The members of a row and what they are. Any may be absent. */
export type Columns = { readonly [member: string]: "bigint" | "integer" | "smallint" | "boolean" | "text" };

/** The parameters of a function that takes such rows. */
export function parametersOf(prefix: string, columns: Columns): string {
  return Object.entries(columns)
    .map(([member, type]) => `${parameter(prefix, member)} ${type === "text" ? "json" : `${type}[]`}`)
    .join(", ");
}

/** The rows again, as an item of `FROM`. */
export function rowsFrom(prefix: string, columns: Columns, alias: string): string {
  const members = Object.entries(columns).map(([member, type]) => {
    const given = parameter(prefix, member);
    return type === "text" ? `json_array_elements_text(${given})` : `unnest(${given})`;
  });
  const names = Object.keys(columns).map((member) => `"${member}"`);
  return `ROWS FROM (${members.join(", ")}) AS ${alias} (${names.join(", ")})`;
}

/** The parameter that has one member of all rows. */
export function parameter(prefix: string, member: string): string {
  return `p_${prefix}_${member.toLowerCase()}`;
}

/** Rows as {@link parametersOf} has them. What no row has costs nothing. */
export function columnsOf(columns: Columns, rows: readonly object[]): (string | null)[] {
  return Object.entries(columns).map(([member, type]) => {
    const values = rows.map((row) => (row as { readonly [member: string]: unknown })[member]);
    if (values.every((value) => value === undefined)) return null;
    return type === "text" ? toJson(values) : arrayOf(values);
  });
}

function arrayOf(values: readonly unknown[]): string {
  return `{${values.map((value) => value ?? "NULL").join(",")}}`;
}
