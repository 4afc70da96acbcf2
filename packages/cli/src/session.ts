/** One command at work: its options, its output, and the store it works on, opened when it is needed and closed after. */
import { Client, type StorageProvider } from "@stet/core";
import { findConfig, type FoundConfig } from "./config.ts";
import { type ExitCode, exitCodes } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { Output } from "./output.ts";
import { chooseStorage, type ChosenStorage } from "./storage.ts";

/** Options that every command has. */
export interface GlobalOptions {
  readonly storage?: string;
  readonly config?: string;
  readonly json?: true;
  /** `false` by `--no-color`. */
  readonly color?: boolean;
}

/** See the head of the file. */
export class Session {
  readonly io: Io;
  /** What the process ends with when the command does not throw. */
  exitCode: ExitCode = exitCodes.ok;
  #options: GlobalOptions = {};
  #out: Output;
  #config: Promise<FoundConfig> | undefined;
  #storage: Promise<ChosenStorage> | undefined;

  constructor(io: Io) {
    this.io = io;
    this.#out = new Output(io, { json: false, color: true });
  }

  /** The command's options are known from here on. */
  begin(options: GlobalOptions): void {
    this.#options = options;
    this.#out = new Output(this.io, { json: options.json === true, color: options.color !== false });
  }

  get out(): Output {
    return this.#out;
  }

  /** The options that every command has, for another process that works on the same. */
  get globalArguments(): string[] {
    const { storage, config } = this.#options;
    return [
      ...(storage === undefined ? [] : ["--storage", storage]),
      ...(config === undefined ? [] : ["--config", config]),
    ];
  }

  /** The project's configuration, read once. Empty when it has none. */
  config(): Promise<FoundConfig> {
    return (this.#config ??= findConfig(this.#options.config ?? this.io.env["STET_CONFIG"], this.io.cwd));
  }

  /** The store by flag, environment or configuration, chosen once. `create` makes the file of one that is not there. */
  storage({ create }: { readonly create: boolean }): Promise<ChosenStorage> {
    return (this.#storage ??= this.config().then(({ config }) =>
      chooseStorage({
        flag: this.#options.storage,
        env: this.io.env["STET_STORAGE"],
        config: config.storage,
        cwd: this.io.cwd,
        create,
      }),
    ));
  }

  /** The store that the command line itself names, else another: for what must not be done to a project's store by accident. */
  storageByFlag(otherwise: string): Promise<ChosenStorage> {
    const flag = this.#options.storage ?? otherwise;
    return chooseStorage({ flag, env: undefined, config: undefined, cwd: this.io.cwd, create: true });
  }

  /** Works with a client of the store, and closes it whatever happens. */
  async withClient<Result>(
    work: (client: Client, storage: StorageProvider) => Promise<Result>,
    { create }: { readonly create: boolean } = { create: false },
  ): Promise<Result> {
    const { config } = await this.config();
    const { storage } = await this.storage({ create });
    const { codec, payloadLimit } = config;
    const client = await Client.connect({
      storage,
      ...(codec !== undefined && { codec }),
      ...(payloadLimit !== undefined && { payloadLimit }),
    });
    try {
      return await work(client, storage);
    } finally {
      await client.close();
    }
  }
}
