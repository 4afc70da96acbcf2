/** A PostgreSQL server of one's own, and how to end it. */
export interface PostgresServer {
  readonly url: string;
  readonly port: number;
  readonly data: string;
  /** Ends it as a crash would, and starts it again. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts one. `durable`: commits wait for the disk, as in production. */
export function startPostgres(options?: {
  readonly durable?: boolean;
  readonly settings?: readonly string[];
}): Promise<PostgresServer>;
