/**
 * Gathers what many callers ask for in the same tick and asks once, in the order of the calls: the store's verbs take
 * many, and a transaction costs as much as ten rows.
 */
interface Asking<Item, Outcome> {
  readonly item: Item;
  readonly settle: (outcome: Outcome) => void;
  readonly fail: (error: unknown) => void;
}

/** `queueMicrotask` would make an async resource for each; a settled promise does not. */
const microtask = Promise.resolve();

/** See the head of the file. */
export class Gatherer<Item, Outcome> {
  readonly #askAll: (items: Item[]) => Promise<readonly Outcome[]>;
  #asking: Asking<Item, Outcome>[] = [];

  /** @param askAll - Answers each of the items, in their order. */
  constructor(askAll: (items: Item[]) => Promise<readonly Outcome[]>) {
    this.#askAll = askAll;
  }

  ask(item: Item): Promise<Outcome> {
    return new Promise((settle, fail) => {
      if (this.#asking.length === 0) void microtask.then(() => this.#flush());
      this.#asking.push({ item, settle, fail });
    });
  }

  async #flush(): Promise<void> {
    const asking = this.#asking;
    this.#asking = [];
    try {
      const outcomes = await this.#askAll(asking.map(({ item }) => item));
      asking.forEach(({ settle }, i) => settle(outcomes[i] as Outcome));
    } catch (error) {
      for (const { fail } of asking) fail(error);
    }
  }
}
