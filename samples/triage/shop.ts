/**
 * The systems of a made-up shop, Northwind Audio. Each answers after a moment, as a remote one would. Payments are kept
 * in a file, because they must outlive the worker that makes them: that is what a payment service is.
 */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface Order {
  readonly product: string;
  readonly amount: string;
  /** Absent while it is on its way. */
  readonly delivered?: string;
  readonly number: string;
  readonly customer: string;
}

export interface Payment {
  readonly order: string;
  readonly amount: string;
  /** The ticket it was made for. */
  readonly reference: string;
  /** The payment service pays once for each. */
  readonly idempotencyKey: string;
}

const orders: readonly Order[] = [
  order("NA-48213", "Margaret Ellwood", "Fjell 700", "249.00 EUR", "2026-06-02"),
  order("NA-47106", "Henrike Osterloh", "Fjell 500", "179.00 EUR", "2026-02-24"),
  order("NA-48077", "Priya Ramsundar", "Holm 5", "612.40 GBP", "2026-05-20"),
  order("NA-46350", "Callum Osei-Wright", "Brygge Mini", "94.95 GBP", "2026-01-19"),
  order("NA-47733", "Bernard Achterlow", "Holm 9", "1840.00 EUR", "2026-04-02"),
  order("NA-31984", "Rüdiger Kassebaum", "Brygge XL", "329.00 EUR", "2025-04-11"),
  order("NA-49870", "Victor Lanning", "Skarv Buds", "89.00 EUR", "2026-06-29"),
  order("NA-48902", "Emre Yıldızhan", "Skarv Buds", "89.00 EUR", "2026-06-15"),
  order("NA-49015", "Lotte Fairbrother", "Fjell 500, Holm 5 and more", "3688.00 EUR"),
];

const stock: { readonly [product: string]: number } = {
  "Fjell 700": 14,
  "Fjell 500": 40,
  "Holm 5": 3,
  "Holm 9": 1,
  "Brygge Mini": 22,
  "Brygge XL": 0,
  "Skarv Buds": 65,
};

/** The order of a number, `null` when there is none. */
export async function findOrder(number: string): Promise<Order | null> {
  await sleep(90);
  return orders.find((candidate) => candidate.number === number) ?? null;
}

/** What somebody has bought here. */
export async function findCustomer(name: string): Promise<{ readonly name: string; readonly orders: string[] }> {
  await sleep(120);
  return { name, orders: orders.filter(({ customer }) => customer === name).map(({ number }) => number) };
}

/** How many of a product could be sent today. */
export async function countStock(product: string): Promise<number> {
  await sleep(60);
  return stock[product] ?? 0;
}

/** Sends a message to a team or a customer. Nobody is there, but it takes the time it takes. */
export async function send({ to }: { readonly to: string; readonly text: string }): Promise<string> {
  await sleep(50);
  return `sent to ${to || "the sender"}`;
}

let paymentFile = "payments.jsonl";

/** Says where the payment service keeps its payments. */
export function keepPaymentsIn(file: string): void {
  paymentFile = file;
}

/** Pays money back, once for each key: asked again, it answers what it did the first time. */
export async function pay(payment: Payment): Promise<Payment> {
  const made = paymentsIn(paymentFile).find(({ idempotencyKey }) => idempotencyKey === payment.idempotencyKey);
  if (made !== undefined) return made;
  await sleep(80);
  appendFileSync(paymentFile, `${JSON.stringify(payment)}\n`);
  return payment;
}

/** The payment that was made for a ticket, `null` when there is none. */
export async function findPayment(reference: string): Promise<Payment | null> {
  await sleep(60);
  return paymentsIn(paymentFile).find((payment) => payment.reference === reference) ?? null;
}

/** All payments ever made. */
export function paymentsIn(file: string): Payment[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

function order(number: string, customer: string, product: string, amount: string, delivered?: string): Order {
  return { product, amount, ...(delivered !== undefined && { delivered }), number, customer };
}
