/**
 * Capsules: a whole tree as one JSON value, to be kept in a file and put into another store. What is in it is described
 * in docs/capsules.md; texts are as stored, so what a codec has sealed stays sealed.
 *
 * A capsule comes from outside. `treeOf` lets nothing through that a store would not have written itself.
 */
import { z } from "zod";
import { type ConfigurationError, InputError } from "./errors.ts";
import { assertInstanceId, assertName, assertVersion } from "./definitions.ts";
import { shown } from "./options.ts";
import { canonicalHash, type Payload } from "./payload.ts";
import { check } from "./schema.ts";
import type { StoredExecution, StoredInstance, StoredTree, StoredWait, StoredWork } from "./storage-admin.ts";

/** A tree with all that belongs to it, as one JSON value. Write it with `JSON.stringify`. */
export interface Capsule {
  readonly format: "stet-capsule";
  /** Of the format. This release writes 1. */
  readonly version: 1;
  readonly exportedAt: number;
  /** SHA-256 of the canonical text (RFC 8785) of `tree`, in base64url: it shows damage, not who wrote it. */
  readonly digest: string;
  readonly tree: StoredTree;
}

const version = 1;

/** The capsule of a tree. */
export function capsuleOf(tree: StoredTree, exportedAt: number): Capsule {
  return { format: "stet-capsule", version, exportedAt, digest: digestOf(tree), tree };
}

/** The tree in a capsule, or in its JSON text. @throws InputError naming the path of what is wrong. */
export function treeOf(capsule: unknown): StoredTree {
  const value = typeof capsule === "string" ? parsed(capsule) : capsule;
  const { format, version: written } = (value ?? {}) as Partial<Capsule>;
  if (format !== "stet-capsule") throw wrong("$.format", `"stet-capsule"`, shown(format));
  if (typeof written === "number" && written > version) {
    throw wrong("$.version", `${version} at most`, `${written}: a newer release of this library wrote it`);
  }
  const checked = check(capsuleSchema, value, "a capsule");
  if ("problem" in checked) {
    const [{ path, message }] = checked.details as [{ path: string; message: string }];
    throw new InputError(`Expected ${path} of the capsule to be as its format says, got: ${message}`, {
      details: checked.details,
    });
  }
  const { tree, digest } = checked.value as Capsule;
  const actual = digestOf(tree);
  if (digest !== actual) throw wrong("$.digest", `${actual}, the digest of its tree`, `${digest}: it was changed`);
  assertTree(tree);
  return tree;
}

/** What tells a tree from every other one. */
export function digestOf(tree: StoredTree): string {
  return canonicalHash(tree as unknown as Payload);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new InputError(`Expected the capsule to be a whole JSON text, got ${text.length} characters that are not`, {
      cause,
    });
  }
}

const count = z.int().nonnegative();
const number = z.int().positive();
const text = z.string();
const message = { body: text, at: count };
const labels = z.record(text, text);
const amounts = { tokens: count, nanoUsd: count, calls: count };

/** A schema for each member: what a store exports must be let in. */
type Members<Stored> = { readonly [Member in keyof Stored]-?: z.ZodType };

const executionSchema = z.strictObject({
  execution: number,
  startedAt: count,
  updatedAt: count,
  history: z.array(z.strictObject({ firstEventId: number, lastEventId: number, body: text })).min(1),
} satisfies Members<StoredExecution>);

const instanceSchema = z.strictObject({
  instanceId: text,
  parentId: text.optional(),
  name: text,
  version: text.optional(),
  status: z.enum(["pending", "running", "completed", "failed", "cancelled", "terminated"]),
  labels,
  createdAt: count,
  updatedAt: count,
  customStatus: text.optional(),
  output: text.optional(),
  error: text.optional(),
  blocked: text.optional(),
  execution: number,
  executions: z.array(executionSchema),
  messages: z.array(
    z.strictObject({ ...message, answers: z.strictObject({ execution: number, eventId: number }).optional() }),
  ),
  messageKeys: z.array(text),
  timers: z.array(z.strictObject({ eventId: number, fireAt: count, body: text })),
  work: z.array(
    z.strictObject({
      eventId: number,
      kind: z.enum(["activity", "model"]),
      name: text,
      tag: text.optional(),
      session: text.optional(),
      body: text,
      visibleAt: count.optional(),
      attempts: count,
      heartbeat: text.optional(),
      failure: text.optional(),
      rank: z.int().optional(),
      tokens: count.optional(),
    } satisfies Members<StoredWork>),
  ),
  waits: z.array(
    z.strictObject({
      eventId: number,
      name: text,
      details: text.optional(),
      since: count,
      timeoutAt: count.optional(),
    } satisfies Members<StoredWait>),
  ),
  state: z.array(z.strictObject({ key: text, value: text })),
  outputs: z.array(z.strictObject(message)),
  budget: z
    .strictObject({
      limits: z.strictObject({ ...amounts, timeMs: count }).partial(),
      spent: z.strictObject(amounts),
      openedAt: count,
    })
    .optional(),
  bookings: z.array(z.strictObject({ eventId: number, ...amounts })).optional(),
} satisfies Members<StoredInstance>);

const capsuleSchema = z.strictObject({
  format: z.literal("stet-capsule"),
  version: z.literal(version),
  exportedAt: count,
  digest: text,
  tree: z.strictObject({
    instances: z.array(instanceSchema).min(1),
    payloads: z.array(z.strictObject({ digest: text, body: text })),
  }),
});

/** What no schema says: that the parts fit each other. */
function assertTree({ instances, payloads }: StoredTree): void {
  const seen = new Set<string>();
  for (const [i, instance] of instances.entries()) {
    const path = `$.tree.instances[${i}]`;
    const { instanceId, parentId } = instance;
    named(`${path}.instanceId`, () => assertInstanceId(instanceId));
    if (seen.has(instanceId)) throw wrong(`${path}.instanceId`, "used once", shown(instanceId));
    if (i === 0 && parentId !== undefined) throw wrong(`${path}.parentId`, "absent at the root", shown(parentId));
    if (i > 0 && (parentId === undefined || !seen.has(parentId))) {
      throw wrong(`${path}.parentId`, "an instance before it", shown(parentId));
    }
    seen.add(instanceId);
    assertInstance(instance, path);
  }
  const digests = payloads.map(({ digest }) => digest);
  assertDistinct(digests, "$.tree.payloads", "digest");
}

function assertInstance(instance: StoredInstance, path: string): void {
  const { name, version: pinned, status, execution, executions } = instance;
  named(`${path}.name`, () => assertName(name, "orchestration"));
  if (pinned !== undefined) named(`${path}.version`, () => assertVersion(pinned, `orchestration ${name}`));
  let before = 0;
  for (const [i, each] of executions.entries()) {
    if (each.execution <= before || each.execution > execution) {
      throw wrong(`${path}.executions[${i}].execution`, `from ${before + 1} to ${execution}`, String(each.execution));
    }
    before = each.execution;
    assertHistory(each, `${path}.executions[${i}].history`);
  }
  const hasBegun = before === execution;
  if (hasBegun === (status === "pending")) {
    throw wrong(`${path}.status`, hasBegun ? "one of an instance that has begun" : "pending", shown(status));
  }
  const lists = ["messages", "timers", "work", "waits", "bookings"] as const;
  const left = lists.find((list) => status !== "pending" && status !== "running" && (instance[list] ?? []).length > 0);
  if (left !== undefined)
    throw wrong(`${path}.${left}`, "empty, as the instance has ended", `${instance[left]?.length}`);
  for (const list of ["timers", "work", "waits", "bookings"] as const) {
    assertDistinct(
      (instance[list] ?? []).map(({ eventId }) => eventId),
      `${path}.${list}`,
      "eventId",
    );
  }
  assertDistinct(
    instance.state.map(({ key }) => key),
    `${path}.state`,
    "key",
  );
  assertDistinct(instance.messageKeys, `${path}.messageKeys`);
}

/** Events follow on each other, and the first is the start. What they say is the engine's to read. */
function assertHistory({ history }: StoredExecution, path: string): void {
  let before = 0;
  for (const [i, { firstEventId, lastEventId, body }] of history.entries()) {
    if (firstEventId !== before + 1) {
      throw wrong(`${path}[${i}].firstEventId`, String(before + 1), String(firstEventId));
    }
    const events = eventsOf(body);
    const first = before + 1;
    if (events?.length !== lastEventId - before || events.some(({ id }, n) => id !== first + n)) {
      throw wrong(`${path}[${i}].body`, `the events ${firstEventId} to ${lastEventId}`, shown(body));
    }
    before = lastEventId;
  }
  const [started] = eventsOf(history[0]?.body ?? "") ?? [];
  if (started?.kind !== "OrchestrationStarted") {
    throw wrong(`${path}[0].body`, "to begin with OrchestrationStarted", shown(started?.kind));
  }
}

function eventsOf(body: string): { readonly id?: unknown; readonly kind?: unknown }[] | undefined {
  try {
    const events: unknown = JSON.parse(body);
    const isList = Array.isArray(events) && events.every((event) => typeof event === "object" && event !== null);
    return isList ? (events as { id?: unknown; kind?: unknown }[]) : undefined;
  } catch {
    return undefined; // what it is instead is for the caller to say
  }
}

function assertDistinct(values: readonly (string | number)[], path: string, member?: string): void {
  const seen = new Set<string | number>();
  const twice = values.findIndex((value) => seen.size === seen.add(value).size);
  if (twice < 0) return;
  const at = member === undefined ? `${path}[${twice}]` : `${path}[${twice}].${member}`;
  throw wrong(at, "used once", shown(values[twice]));
}

function named(path: string, assert: () => void): void {
  try {
    assert();
  } catch (cause) {
    throw new InputError(`Expected ${path} of the capsule to be valid, got: ${(cause as ConfigurationError).message}`, {
      cause,
    });
  }
}

function wrong(path: string, expected: string, found: string): InputError {
  return new InputError(`Expected ${path} of the capsule to be ${expected}, got ${found}`);
}
