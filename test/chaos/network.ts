/** What is between a worker and its server, in the hands of a test: it fails in the ways of networks. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * The ways a connection fails. `reset`: both sides hear of it. `stall`: nothing comes through for a while. The deaf side
 * hears nothing of the end of the other: for it the connection stays open, and is silent for ever.
 */
export const failures = ["reset", "stall", "deaf worker", "deaf server"] as const;

/** See the head of the file. */
export interface Network {
  /** A url of the server, led through here. */
  readonly through: (url: string) => string;
  /** Lets all connections fail that are open. Resolves when a stall is over. */
  readonly fail: (failure: (typeof failures)[number], stallMs: number) => Promise<void>;
  readonly close: () => void;
}

/** The two connections that are one. */
interface Pair {
  readonly worker: Socket;
  readonly server: Socket;
  /** Whether one side does not hear of the end of the other. */
  isHalfOpen: boolean;
}

/** Opens one in front of the server at a url. */
export async function openNetwork(url: string): Promise<Network> {
  const target = Number(new URL(url).port);
  const pairs = new Set<Pair>();
  const entrance = createServer((worker) => {
    const pair: Pair = { worker, server: connect(target, "127.0.0.1"), isHalfOpen: false };
    pairs.add(pair);
    joinUp(pair, () => pairs.delete(pair));
  });
  entrance.listen(0, "127.0.0.1");
  await once(entrance, "listening");
  const { port } = entrance.address() as AddressInfo;
  return {
    through: (original) => Object.assign(new URL(original), { port }).href,
    async fail(failure, stallMs) {
      const failing = [...pairs];
      if (failure === "stall") {
        for (const { worker, server } of failing) [worker, server].forEach((side) => side.unpipe().pause());
        await sleep(stallMs);
        for (const { worker, server } of failing) worker.pipe(server).pipe(worker);
      } else for (const pair of failing) breakOff(pair, failure);
    },
    close() {
      entrance.close();
      for (const { worker, server } of pairs) [worker, server].forEach((side) => side.destroy());
    },
  };
}

/** What one side says the other hears, and of its end. */
function joinUp(pair: Pair, ended: () => void): void {
  const { worker, server } = pair;
  worker.pipe(server).pipe(worker);
  for (const [side, other] of [
    [worker, server],
    [server, worker],
  ] as const) {
    side.setNoDelay(true).on("error", () => {});
    side.on("close", () => {
      if (!pair.isHalfOpen) other.destroy();
      if (other.destroyed) ended();
    });
  }
}

function breakOff(pair: Pair, failure: "reset" | "deaf worker" | "deaf server"): void {
  const { worker, server } = pair;
  pair.isHalfOpen = failure !== "reset";
  for (const side of [worker, server]) side.unpipe();
  if (failure === "deaf worker") worker.resume();
  else worker.resetAndDestroy();
  if (failure === "deaf server") server.resume();
  else server.resetAndDestroy();
}
