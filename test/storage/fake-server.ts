/** The other end of the protocol: servers that refuse, and a pooler that exchanges connections between transactions. */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

const sslRequest = 80_877_103;

/** Something to connect to, on a port of its own. */
export interface Listening {
  readonly port: number;
  close(): void;
}

/** What a server that refuses is to do, and what it was told. */
export interface Refusal {
  /** The answer to everything that is asked. */
  readonly sqlState: string;
  readonly asksForPassword?: boolean;
}

/** Refuses everything by one SQLSTATE. */
export async function refusingServer(refusal: Refusal): Promise<Listening & { readonly heard: string[] }> {
  const heard: string[] = [];
  const listening = await listen((socket) => {
    let started = false;
    messages(
      socket,
      () => !started,
      (type, body) => {
        if (type === "" && body.readInt32BE(0) === sslRequest) {
          heard.push("TLS");
          socket.write("N");
        } else if (type === "") {
          started = true;
          socket.write(
            refusal.asksForPassword === true ? message("R", int32(3)) : Buffer.concat([authenticated, ready]),
          );
        } else if (type === "p" && refusal.asksForPassword === true) {
          heard.push(`password ${body.subarray(0, -1).toString()}`);
          socket.end(message("E", failure(refusal.sqlState)));
        } else if (type === "Q" || type === "S") {
          socket.write(Buffer.concat([message("E", failure(refusal.sqlState)), ready]));
        }
      },
    );
  });
  return { ...listening, heard };
}

/**
 * A pooler in transaction mode that never gives a client the same server connection twice in a row: whatever a client
 * leaves on a connection, somebody else has it.
 */
export async function transactionPooler(url: string): Promise<Listening & { readonly exchanges: () => number }> {
  const { hostname, port, username, pathname } = new URL(url);
  let exchanges = 0;
  const idle: Socket[] = [];
  const all: Socket[] = [];

  const open = async (): Promise<Socket> => {
    const server = connect(Number(port), hostname);
    all.push(server);
    server.on("error", () => {});
    await once(server, "connect");
    const parameters = `user\0${username}\0database\0${pathname.slice(1)}\0\0`;
    const rest = Buffer.concat([int32(196_608), Buffer.from(parameters)]);
    server.write(Buffer.concat([int32(rest.length + 4), rest]));
    await new Promise<void>((resolve) => {
      const stop = messages(
        server,
        () => false,
        (type) => {
          if (type !== "Z") return;
          stop();
          resolve();
        },
      );
    });
    return server;
  };

  const listening = await listen((client) => {
    let server: Promise<Socket> | undefined;
    let last: Socket | undefined;
    let started = false;
    const take = async (): Promise<Socket> => {
      const another = idle.findIndex((each) => each !== last);
      const taken = another < 0 ? await open() : idle.splice(another, 1)[0]!;
      if (last !== undefined && taken !== last) exchanges++;
      last = taken;
      const stop = messages(
        taken,
        () => false,
        (type, body, whole) => {
          client.write(whole);
          if (type !== "Z" || body.toString() !== "I") return;
          stop();
          idle.push(taken);
          server = undefined;
        },
      );
      return taken;
    };
    let order = Promise.resolve();
    messages(
      client,
      () => !started,
      (type, _body, whole) => {
        if (type === "") {
          started = true;
          client.write(Buffer.concat([authenticated, ready]));
        } else if (type !== "X") {
          order = order.then(async () => void (await (server ??= take())).write(whole));
        }
      },
    );
  });
  return {
    ...listening,
    exchanges: () => exchanges,
    close: () => {
      listening.close();
      for (const server of all) server.destroy();
    },
  };
}

/** A way to a server on which a statement can get lost: its connection stays open and is silent from then on. */
export async function lossyWay(
  url: string,
): Promise<Listening & { readonly lose: (word: string) => void; readonly hasLost: () => boolean }> {
  const { hostname, port } = new URL(url);
  let wanted: string | undefined;
  const servers: Socket[] = [];
  const listening = await listen((client) => {
    const server = connect(Number(port), hostname).on("error", () => {});
    servers.push(server);
    server.pipe(client);
    client.on("close", () => server.destroy());
    let isSilent = false;
    client.on("data", (chunk) => {
      if (wanted !== undefined && chunk.includes(wanted)) {
        isSilent = true;
        wanted = undefined;
      }
      if (!isSilent) server.write(chunk);
    });
  });
  return {
    ...listening,
    lose: (word) => void (wanted = word),
    hasLost: () => wanted === undefined,
    close: () => {
      listening.close();
      for (const server of servers) server.destroy();
    },
  };
}

async function listen(serve: (socket: Socket) => void): Promise<Listening> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    serve(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port: (server.address() as AddressInfo).port, close };
}

/** Takes what arrives apart. The first message of a client has no type. Answers how to stop. */
function messages(
  socket: Socket,
  isUntyped: () => boolean,
  hear: (type: string, body: Buffer, whole: Buffer) => void,
): () => void {
  let rest: Buffer = Buffer.alloc(0);
  const onData = (data: Buffer): void => {
    rest = Buffer.concat([rest, data]);
    for (;;) {
      const head = isUntyped() ? 0 : 1;
      if (rest.length < head + 4) return;
      const length = head + rest.readInt32BE(head);
      if (rest.length < length) return;
      const whole = rest.subarray(0, length);
      rest = rest.subarray(length);
      hear(whole.subarray(0, head).toString(), whole.subarray(head + 4), whole);
    }
  };
  socket.on("data", onData);
  return () => socket.off("data", onData);
}

function message(type: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeInt32BE(value);
  return buffer;
}

function failure(sqlState: string): Buffer {
  return Buffer.from(`SERROR\0VERROR\0C${sqlState}\0Mrefused\0\0`);
}

const authenticated = message("R", int32(0));
const ready = message("Z", Buffer.from("I"));
