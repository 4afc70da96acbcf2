/** What the figures were measured on, without a name that would tell whose it is. */
import { statfsSync } from "node:fs";
import { arch, availableParallelism, cpus, platform, release, totalmem } from "node:os";
import Sqlite from "better-sqlite3";
import { serverVersion } from "./postgres-site.ts";
import { scratchRoot } from "./scratch.ts";

/** See the head of the file. */
export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGb: number;
  readonly system: string;
  readonly node: string;
  /** What the stores are in. */
  readonly database: string;
  /** Of the folder the databases are in. */
  readonly fileSystem: string;
}

/** Magic numbers of statfs(2). */
const fileSystems: { readonly [type: number]: string } = {
  0xef53: "ext4",
  0x58465342: "xfs",
  0x9123683e: "btrfs",
  0x01021994: "tmpfs",
  0x794c7630: "overlayfs",
};

/** Of this machine, and of the server whose url is given. */
export async function thisMachine(url?: string): Promise<Machine> {
  const { type } = statfsSync(scratchRoot);
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() ?? "",
    memoryGb: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.versions.node,
    database: url === undefined ? `SQLite ${sqliteVersion()}` : `PostgreSQL ${await serverVersion(url)}`,
    fileSystem: fileSystems[type] ?? `type 0x${type.toString(16)}`,
  };
}

/** In one line. */
export function describeMachine({ cores, cpu, memoryGb, system, node, database, fileSystem }: Machine): string {
  return `${cores} cores (${cpu || "unknown"}), ${memoryGb} GiB, ${system}, Node ${node}, ${database} on ${fileSystem}`;
}

function sqliteVersion(): string {
  const db = new Sqlite(":memory:");
  const version = db.prepare<[], string>("SELECT sqlite_version()").pluck().get() ?? "";
  db.close();
  return version;
}
