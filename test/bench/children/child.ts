/** Work in a process of its own: how it is started, told what to do, and heard from. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Starts a file of this folder with one argument and answers the first thing it says. Then it is killed. */
export function askChild<Answer>(file: string, argument: unknown): Promise<Answer> {
  return withChildren<Answer, Answer>(file, 1, argument, ([answer]) => answer!);
}

/**
 * Starts a file of this folder so many times with one argument and the flags of this process, and runs `body` once each
 * has said something. Then they are killed, in the middle of whatever they do, and are gone when the promise resolves.
 */
export async function withChildren<Answer, Result>(
  file: string,
  count: number,
  argument: unknown,
  body: (answers: readonly Answer[]) => Result | Promise<Result>,
): Promise<Result> {
  const entry = fileURLToPath(new URL(file, import.meta.url));
  const children = Array.from({ length: count }, () => {
    const child = fork(entry, [JSON.stringify(argument)], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const gone = new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
      child.once("error", () => resolve());
    });
    const answer = new Promise<Answer>((resolve, reject) => {
      child.once("message", (said) => resolve(said as Answer));
      child.once("error", reject);
      child.once("exit", (code, signal) => reject(new Error(`${file} ended with ${signal ?? code} and no answer`)));
    });
    return { child, gone, answer };
  });
  try {
    return await body(await Promise.all(children.map(({ answer }) => answer)));
  } finally {
    for (const { child } of children) child.kill("SIGKILL");
    await Promise.all(children.map(({ gone }) => gone));
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
