/**
 * The functions that a build brings along: each verb that writes is one call of one of them, so it is one round trip and
 * one transaction that no client can leave open, and its statements are planned once per connection, whatever stands
 * between us and the server.
 *
 * They are code, not schema: their names end in the digest of their text, so that an old build and a new one can use one
 * schema side by side. A statement of theirs sees what was committed before it began, and each relies on that: first it
 * takes its locks, then it looks.
 *
 * Locks are taken in one order, in which nobody can wait for anybody in a circle: the worker; the model; instances by
 * key; work by key; starts of the model; payloads by digest; output streams; new instances by id; idempotency keys;
 * sessions by name; budgets by instance; bookings. Whoever claims waits for no row that it may take. An instance that is
 * there is never inserted: to find that out, an insert waits for whoever changes its row. `verb-storm.ts` among the
 * tests tries to prove all that wrong.
 */
import { createHash } from "node:crypto";

/** A function of PostgreSQL: its name, what follows it in `CREATE FUNCTION`, and its body. */
export interface Routine {
  readonly name: string;
  readonly signature: string;
  readonly body: string;
  /** Runs with the settings of its caller: for what is called for each row. */
  readonly asItsCaller?: true;
}

/** The clock of the store in epoch milliseconds. */
export const storeNow = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/** How a function of ours calls another. */
export function called(name: string): string {
  return `${name}${mark}`;
}

/** Stands for the digest, which is not known before the text is. */
const mark = "__build";

/**
 * Plans are made once, while the tables may be empty, and must hold when they have grown: by index, row by row, in the
 * order in which rows are handed in. So no statement may join what was handed in with itself.
 */
const settings = `SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
  SET enable_indexonlyscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off`;

/**
 * `column =@ value`, in bodies, is an equality that can be used for looking up the row of the column by an index, and for
 * nothing else: a plain one would let the planner walk a table that is small today, and look up what was handed in.
 */
const lookUp = /=@ ([\w."[\]]+)/g;

/** What a build brings along, for one schema. */
export class Routines {
  /** Names the build: its functions end in it. */
  readonly digest: string;
  readonly #routines: readonly Routine[];

  constructor(routines: readonly Routine[]) {
    this.#routines = routines;
    const text = JSON.stringify([settings, routines]);
    this.digest = createHash("sha256").update(text).digest("hex").slice(0, 12);
  }

  /** The name of a function in the store. */
  name(routine: Routine): string {
    return `${routine.name}_${this.digest}`;
  }

  /** The statements that make them in a schema, which is quoted already. */
  create(schema: string): string[] {
    return this.#routines.map((routine) =>
      `CREATE OR REPLACE FUNCTION ${schema}.${called(routine.name)}${routine.signature}
       LANGUAGE plpgsql VOLATILE
       ${routine.asItsCaller === true ? "" : `SET search_path = ${schema}, pg_catalog, pg_temp ${settings}`}
       AS $routine$\n#variable_conflict use_column\n${routine.body.replace(lookUp, "= ANY (ARRAY[$1])")}\n$routine$`.replaceAll(
        mark,
        `_${this.digest}`,
      ),
    );
  }
}
