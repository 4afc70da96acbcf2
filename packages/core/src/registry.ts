/**
 * What a worker can run: orchestrations by name and version, activities by name.
 */
import { createHash } from "node:crypto";
import type { AnyActivity, AnyOrchestration } from "./context.ts";
import { ConfigurationError } from "./errors.ts";
import { shown } from "./options.ts";

/** See the head of the file. */
export class Registry {
  readonly #orchestrations = new Map<string, AnyOrchestration[]>();
  readonly #activities = new Map<string, AnyActivity>();

  /** @throws ConfigurationError when two definitions share name and version, or something is not a definition. */
  constructor(orchestrations: readonly AnyOrchestration[], activities: readonly AnyActivity[]) {
    for (const definition of orchestrations) this.#addOrchestration(definition);
    for (const definition of activities) this.#addActivity(definition);
    for (const versions of this.#orchestrations.values())
      versions.sort((a, b) => compareVersions(b.version, a.version));
  }

  /** The definition of this version, or the newest one when none is named. */
  orchestration(name: string, version?: string): AnyOrchestration | undefined {
    const versions = this.#orchestrations.get(name);
    return version === undefined ? versions?.[0] : versions?.find((definition) => definition.version === version);
  }

  activity(name: string): AnyActivity | undefined {
    return this.#activities.get(name);
  }

  /** `name` and `name@version` of all orchestrations. */
  get handlers(): string[] {
    return [...this.#orchestrations].flatMap(([name, versions]) => [
      name,
      ...versions.map(({ version }) => `${name}@${version}`),
    ]);
  }

  get activities(): readonly AnyActivity[] {
    return [...this.#activities.values()];
  }

  /** Changes when the source of an orchestration does. */
  get fingerprint(): string {
    const hash = createHash("sha256");
    for (const name of [...this.#orchestrations.keys()].sort()) {
      for (const { version, run } of this.#orchestrations.get(name) ?? [])
        hash.update(`${name}@${version}\n${run.toString()}\n`);
    }
    return hash.digest("base64url").slice(0, 16);
  }

  #addOrchestration(definition: AnyOrchestration): void {
    assertKind(definition, "orchestration", "each of orchestrations");
    const { name, version } = definition;
    const versions = this.#orchestrations.get(name) ?? [];
    const same = versions.find((other) => compareVersions(other.version, version) === 0);
    if (same !== undefined) {
      const also = same.version === version ? "" : ` (${same.version} is the same)`;
      throw new ConfigurationError(
        `Expected one orchestration ${name} of version ${version}${also}, got two: give one another version`,
      );
    }
    this.#orchestrations.set(name, [...versions, definition]);
  }

  #addActivity(definition: AnyActivity): void {
    assertKind(definition, "activity", "each of activities");
    if (this.#activities.has(definition.name)) {
      throw new ConfigurationError(`Expected one activity ${definition.name}, got two: rename one`);
    }
    this.#activities.set(definition.name, definition);
  }
}

/** @throws ConfigurationError unless it was made by `activity()` or `orchestration()`, whichever `kind` says. */
export function assertKind(definition: unknown, kind: "activity" | "orchestration", what: string): void {
  const found = definition as { readonly kind?: unknown; readonly name?: unknown } | undefined;
  if (found?.kind === kind) return;
  const other = found?.kind === "activity" || found?.kind === "orchestration";
  throw new ConfigurationError(
    `Expected ${what} to be a definition made by ${kind}(), got ${other ? `the ${found.kind} ${String(found.name)}` : shown(definition)}`,
  );
}

/** Numbers with dots, number by number; a missing number is 0. */
function compareVersions(a: string, b: string): number {
  const left = a.split(".").map(Number);
  const right = b.split(".").map(Number);
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
