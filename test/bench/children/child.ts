/** Work in a process of its own: how it is started, told what to do, and heard from. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/**
 * Starts a file of this folder with one argument and the flags of this process, and answers the first thing it says.
 * Then it is killed, in the middle of whatever it does, and is gone when the promise resolves.
 */
export async function askChild<Answer>(file: string, argument: unknown): Promise<Answer> {
  const entry = fileURLToPath(new URL(file, import.meta.url));
  const child = fork(entry, [JSON.stringify(argument)], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const gone = new Promise<void>((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
  try {
    return await new Promise<Answer>((resolve, reject) => {
      child.once("message", (answer) => resolve(answer as Answer));
      child.once("error", reject);
      child.once("exit", (code, signal) => reject(new Error(`${file} ended with ${signal ?? code} and no answer`)));
    });
  } finally {
    child.kill("SIGKILL");
    await gone;
  }
}

/** In the child: what it was started with. */
export function argumentOfChild<Argument>(): Argument {
  return JSON.parse(process.argv[2] ?? "null") as Argument;
}

/** In the child: says something, and waits until it is on its way. */
export function say(answer: unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    if (process.send === undefined) throw new Error("Expected to be started by the benchmark");
    process.send(answer, (error: Error | null) => (error ? reject(error) : resolve()));
  });
}
