/** Workloads on a server, and what they send there, as rows. */
import { trafficOf } from "./postgres-site.ts";
import type { RowDefinition, Run, Samples, Workload } from "./workload.ts";

/** The workload on a server, with other targets. */
export function onPostgres(
  workload: Workload,
  targets: { readonly [rowId: string]: Pick<RowDefinition, "floor" | "aim"> },
): Workload {
  return { ...workload, rows: workload.rows.map(({ id, unit, better }) => ({ id, unit, better, ...targets[id] })) };
}

/** The workload with the rows that {@link counted} fills. */
export function withTraffic(workload: Workload): Workload {
  return { ...workload, rows: [...workload.rows, ...trafficRows(workload.rows[0]?.id ?? "")] };
}

/** Runs `body`, and answers its samples besides where its store is on a server. */
export async function counted<Result>(
  { postgres }: Run,
  id: string,
  activities: number,
  body: () => Promise<Result>,
): Promise<[Result, Samples]> {
  if (postgres === undefined) return [await body(), {}];
  const [result, { roundTrips, statements, walBytes }] = await trafficOf(postgres, body);
  return [
    result,
    {
      [`${id}.roundTrips`]: { value: roundTrips / activities },
      ...(statements !== undefined && { [`${id}.statements`]: { value: statements / activities } }),
      [`${id}.walBytes`]: { value: walBytes / activities },
    },
  ];
}

function trafficRows(id: string): readonly RowDefinition[] {
  return [
    { id: `${id}.roundTrips`, unit: "each", better: "lower" },
    { id: `${id}.statements`, unit: "each", better: "lower" },
    { id: `${id}.walBytes`, unit: "each", better: "lower" },
  ];
}
