/**
 * Sessions in this worker: of the jobs of one session one goes on, and the others stand in line behind it.
 */
import type { Job } from "./job.ts";

/** See the head of the file. */
export class SessionLines {
  readonly #lines = new Map<string, Job[]>();

  /** Jobs that stand in line. */
  get waiting(): number {
    let waiting = 0;
    for (const line of this.#lines.values()) waiting += line.length;
    return waiting;
  }

  /** Whether the job may go on. If not it stands in line now. */
  enter(job: Job): boolean {
    const session = sessionOf(job);
    if (session === undefined) return true;
    const line = this.#lines.get(session);
    if (line === undefined) this.#lines.set(session, []);
    else line.push(job);
    return line === undefined;
  }

  /** The job that went on is over. Answers who goes on next. */
  leave(job: Job): Job | undefined {
    const session = sessionOf(job);
    if (session === undefined) return undefined;
    const next = this.#lines.get(session)?.shift();
    if (next === undefined) this.#lines.delete(session);
    return next;
  }

  /** All who stand in line, who then do so no longer. */
  drain(): Job[] {
    const jobs = [...this.#lines.values()].flat();
    this.#lines.clear();
    return jobs;
  }
}

function sessionOf({ item: { request } }: Job): string | undefined {
  return request.kind === "ActivityScheduled" ? request.options?.session : undefined;
}
