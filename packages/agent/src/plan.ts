/**
 * What a model wants to be done next, as it writes it and as the agent goes by it.
 */
import type { JsonSchema, Payload, Schema } from "@stet/core";
import { jsonSchemaOf } from "@stet/core/internal";
import { z } from "zod";

/** A plan as a model writes it with `planning: "plan"`. */
export interface WrittenPlan {
  /** Why these actions come next. */
  readonly thought: string;
  readonly actions: readonly {
    readonly tool: string;
    readonly params: { readonly [name: string]: Payload };
    /** The model's own name for the action, once in a plan. */
    readonly id: string;
  }[];
  /** Whether the actions may run side by side. Otherwise each waits for the one before it, and a failure stops the rest. */
  readonly parallel: boolean;
  /** Whether there is nothing left to do. */
  readonly done: boolean;
  /** Whether it worked. */
  readonly done_reason?: "success" | "gave_up" | null | undefined;
  /** What has been done, for whoever gave the goal. */
  readonly summary?: string | null | undefined;
}

const written = z
  .object({
    thought: z.string(),
    actions: z.array(
      z.object({ tool: z.string(), params: z.record(z.string(), z.json()), id: z.string().min(1).max(100) }),
    ),
    parallel: z.boolean().default(false),
    done: z.boolean().default(false),
    done_reason: z.enum(["success", "gave_up"]).nullish(),
    summary: z.string().nullish(),
  })
  .superRefine(({ actions }, issues) => {
    actions.forEach(({ id }, i) => {
      if (actions.findIndex((other) => other.id === id) === i) return;
      issues.addIssue({
        code: "custom",
        path: ["actions", i, "id"],
        message: `Expected each action to have its own id, got another ${id}`,
      });
    });
  });

/** The plan that a model writes with `planning: "plan"`, as a Zod schema. */
export const planSchema: Schema<WrittenPlan> = written;

/** {@link planSchema} as a JSON Schema document. */
export const planJsonSchema: JsonSchema = jsonSchemaOf(planSchema);

/** What comes next, however it was written. */
export interface Plan {
  readonly thought: string;
  readonly actions: readonly PlannedAction[];
  readonly parallel: boolean;
  /** Set when the model says that there is nothing left to do. It does not count beside actions. */
  readonly finish?: { readonly reason: "success" | "gave_up"; readonly summary: string };
}

/** One call of a tool that a model asks for. */
export interface PlannedAction {
  readonly tool: string;
  readonly arguments: Payload;
  /** What the model calls it, where it says so. */
  readonly writtenId?: string;
}
