/**
 * A circuit breaker: a model that fails again and again is left alone for a while, then asked once; that call decides
 * whether it is asked again, or left alone for twice as long.
 *
 * It counts on the runtime's clock and wraps nothing, so that a model which answers pays for it with two comparisons.
 */

/** Failures on end that open it. */
const mostFailures = 10;

const firstPauseMs = 10_000;
const longestPauseMs = 5 * 60_000;

/** See the head of the file. */
export class Breaker {
  #failures = 0;
  #pauseMs = 0;

  /** Whether the model failed too often and no call has shown since that it is back. */
  get isOpen(): boolean {
    return this.#pauseMs > 0;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#pauseMs = 0;
  }

  /** How long to leave the model alone; nothing when it may go on. */
  failed(): number | undefined {
    this.#failures++;
    if (!this.isOpen && this.#failures < mostFailures) return undefined;
    this.#pauseMs = this.isOpen ? Math.min(longestPauseMs, this.#pauseMs * 2) : firstPauseMs;
    return this.#pauseMs;
  }
}
