/**
 * Gathers what many callers ask for in the same tick and asks once, in the order of the calls: the store's verbs take
 * many, and a transaction costs as much as ten rows. Very many are asked in parts, so that whoever waits for the first
 * can go on meanwhile.
 */
interface Asking<Item, Outcome> {
  readonly item: Item;
  readonly settle: (outcome: Outcome) => void;
  readonly fail: (error: unknown) => void;
}

/** Most items in one call. */
const most = 512;

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
    let asked = 0;
    try {
      while (asked < asking.length) {
        const part = asking.slice(asked, asked + most);
        const outcomes = await this.#askAll(part.map(({ item }) => item));
        part.forEach(({ settle }, i) => settle(outcomes[i] as Outcome));
        asked += part.length;
      }
    } catch (error) {
      for (const { fail } of asking.slice(asked)) fail(error);
    }
  }
}
