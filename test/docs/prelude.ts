/** What fragments in documents and doc comments talk about without saying where it comes from. */
import type {
  Activity,
  ActivityContext,
  AnyActivity,
  AnyOrchestration,
  Client,
  HistoryEvent,
  InstanceHandle,
  LlmProvider,
  Orchestration,
  OrchestrationContext,
  Runtime,
  StorageProvider,
} from "@stet/core";
import type { LlmDialect, TestEnvironment } from "@stet/testing";

export { default as assert } from "node:assert/strict";
export { test } from "node:test";

export interface Order {
  readonly id: string;
  readonly amount: number;
}
export interface Ticket {
  readonly id: string;
  readonly text: string;
}

export declare const ctx: OrchestrationContext;
export declare const activityContext: ActivityContext;
export declare const runtime: Runtime;
export declare const client: Client;
export declare const env: TestEnvironment;
export declare const handle: InstanceHandle<string>;
export declare const history: readonly HistoryEvent[];
export declare const storage: StorageProvider;
export declare const llm: LlmProvider;
export declare const dialect: LlmDialect;
export declare const orchestrations: readonly AnyOrchestration[];
export declare const activities: readonly AnyActivity[];

export declare const order: Order;
export declare const ticket: Ticket;
export declare const text: string;
export declare const charge: Activity<Order, string>;
export declare const chargeV2: Activity<Order, string>;
export declare const refund: Activity<Order, string>;
export declare const mail: Activity<string, string>;
export declare const lookUp: Activity<string, string>;
export declare const greet: Orchestration<string, string>;
export declare const remind: Orchestration<string, string>;
export declare const handleTicket: Orchestration<string, string>;
export declare const checkout: Orchestration<Order, string>;
export declare const ship: Activity<Order, string>;

export declare const payments: {
  charge(order: Order, options?: { idempotencyKey?: string; signal?: AbortSignal }): Promise<string>;
  find(key: string): Promise<string | undefined>;
};
export declare function count(events: number): void;

/** What `@aws-sdk/rds-signer` and `@azure/identity` give out. */
export declare const signer: { getAuthToken(): Promise<string> };
export declare const credential: { getToken(scope: string): Promise<{ readonly token: string }> };
