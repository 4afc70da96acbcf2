/** States of an instance as numbers: those below {@link firstEnded} still run. */
export const statuses = ["pending", "running", "completed", "failed", "cancelled", "terminated"] as const;

/** The first of {@link statuses} that is an end. */
export const firstEnded = 2;
