/**
 * Courses: executions on their way through a feed of deliveries.
 *
 * `advance` moves many courses side by side: one delivery each, one hop to the next macrotask (after which every
 * microtask has run, so all code waits), then each course binds what its code asked for. That hop is the only `await` of
 * the engine.
 *
 * Two feeds exist. `HistoryFeed` (`replay.ts`) delivers recorded events and compares requests with recorded ones.
 * `TurnFeed` (`turn.ts`) is the present: it makes events of messages and of requests.
 */
import { asStetError, DeterminismError, type StetError } from "./errors.ts";
import type { ClosingBody, DeliveryBody, Recorded, RequestBody } from "./events.ts";
import type { Execution } from "./execution.ts";
import type { Operation } from "./operation.ts";

/** Where deliveries come from and requests go to. */
export interface Feed {
  /** The next delivery, if there is one. */
  next(execution: Execution): (Recorded & DeliveryBody) | undefined;
  /** Makes a request an event, or finds the event it was, and answers its id. */
  bind(execution: Execution, body: RequestBody, operation: Operation): number;
  close(execution: Execution, body: ClosingBody): void;
}

/** An execution on its way through a feed. */
export class Course {
  readonly execution: Execution;
  readonly feed: Feed;
  /** Why it cannot go on. Then nothing of it may be kept. */
  failure: StetError | undefined;
  isClosed = false;

  constructor(execution: Execution, feed: Feed) {
    this.execution = execution;
    this.feed = feed;
  }

  /** Whether something was delivered. */
  deliverNext(): boolean {
    if (this.failure !== undefined || this.isClosed) return false;
    try {
      const event = this.feed.next(this.execution);
      if (event !== undefined) this.execution.deliver(event);
      return event !== undefined;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  /** Binds what the code asked for since the delivery. Call it when the microtask queue is empty. */
  settle(): void {
    this.execution.shut();
    try {
      if (this.execution.violation !== undefined) throw this.execution.violation;
      this.#bindRequested();
      if (this.execution.isDone) {
        const closing = this.execution.close();
        this.#bindRequested();
        this.feed.close(this.execution, closing);
        this.isClosed = true;
      } else if (this.execution.pending.size === 0) {
        throw notDurable(this.execution);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #bindRequested(): void {
    for (const operation of this.execution.takeRequested()) {
      const { body, target } = operation;
      const request = target === undefined ? body : ({ ...body, source: target.eventId } as RequestBody);
      this.execution.bind(operation, this.feed.bind(this.execution, request, operation));
    }
  }

  /** Whatever went wrong, it is this instance's trouble and nobody else's. */
  #fail(error: unknown): void {
    this.failure = asStetError(error);
  }
}

/** Moves courses side by side until none has anything left to deliver. */
export async function advance(courses: readonly Course[], hop: () => Promise<void>): Promise<void> {
  let moving = courses.filter((course) => course.deliverNext());
  while (moving.length > 0) {
    await hop();
    for (const course of moving) course.settle();
    moving = moving.filter((course) => course.deliverNext());
  }
}

function notDurable(execution: Execution): StetError {
  return new DeterminismError(
    `Expected orchestration ${execution.name} (instance ${execution.instanceId}) to wait for a durable promise after event ${execution.lastEventId}, got a wait for something else: it awaits a promise that is not of ctx and that no replay can settle. Move that work into an activity`,
  );
}
