/**
 * The model: OpenAI, or a server that speaks like it, when there is a key; otherwise a mock that knows the twelve tickets
 * and makes simple guesses about others.
 */
import type { LlmProvider, Payload } from "@stet/core";
import { after, mock, type MockCall } from "@stet/mock";
import { openai } from "@stet/openai";
import { readExpected, readTickets, ticketFolder, type Expected } from "./tickets.ts";

/** Whether there is a key, so that a real model is asked. */
export const isLive: boolean = Boolean(process.env["OPENAI_API_KEY"]);

/** By `OPENAI_API_KEY`, `OPENAI_BASE_URL` and `OPENAI_MODEL`, or the mock. */
export function chooseModel(): LlmProvider {
  if (isLive) return openai({ model: process.env["OPENAI_MODEL"] || "gpt-5-mini" });
  const known = knownTickets();
  return mock({ latencyMs: 150 }).otherwise((_request, call) => {
    const expected = known.find(({ head }) => call.prompt.includes(head))?.expected;
    return after(call.prompt.length % 150, expected ? recall(expected, call) : guess(call));
  });
}

/** The twelve, recognised by their subject and sender. */
function knownTickets(): { readonly head: string; readonly expected: Expected }[] {
  const expectations = readExpected();
  return readTickets(ticketFolder).flatMap(({ id, text }) => {
    const expected = expectations.get(id);
    return expected === undefined ? [] : [{ head: text.split("\n").slice(0, 2).join("\n"), expected }];
  });
}

/** What a good model says of a ticket that it knows. */
function recall(expected: Expected, { operation }: MockCall): Payload {
  const { kind, customer, order, product, amount, entitled, summary } = expected;
  if (operation === "classify") return kind;
  if (operation === "extract") {
    return { customer: customer ?? "", order: order ?? "", product: product ?? "", amount: amount ?? "" };
  }
  return operation === "ifTrue" ? entitled === true : summary;
}

/** What the mock makes of a ticket that it has never seen: it looks for words. */
function guess({ operation, prompt }: MockCall): Payload {
  const text = prompt.replace(/^<\/?text-\w+>$/gm, "").trim();
  if (operation === "classify") return guessKind(text);
  if (operation === "extract") {
    return {
      customer: first(text, /^(?:From|Von): *([^<\n]+?) *(?:<|$)/m),
      order: first(text, /\b(NA-\d+)\b/),
      product: first(text, /\b((?:Fjell|Holm) \d+|Brygge (?:Mini|XL)|Skarv Buds)\b/),
      amount: first(text, /(\d[\d.,]*\d ?(?:EUR|GBP|USD|€|£|\$)|[€£$] ?\d[\d.,]*)/),
    };
  }
  if (operation === "ifTrue") return !/\b(water|wet|dropped|wasser|nass|gefallen)\b/i.test(aboutTicket(text));
  const words = text.replace(/^\w+: .*$/gm, "").match(/\S+/g) ?? ["An", "empty", "ticket."];
  return words.length <= 40 ? words.join(" ") : `${words.slice(0, 40).join(" ")} ...`;
}

function guessKind(text: string): Payload {
  if (/\b(ignore|disregard)\b.*\binstructions\b/i.test(text)) return "other";
  if (/\brefund|money back|geld zurück|erstatt/i.test(text)) return "refund";
  if (/\bcrash|\berror\b|\bbug\b|fehler|stürzt ab|funktioniert nicht/i.test(text)) return "bug";
  if (/complain|beschwer|disappoint|unacceptable|enttäuscht/i.test(text)) return "complaint";
  return text.includes("?") ? "question" : "other";
}

/** The policy speaks of water too; only the ticket's own words count. */
function aboutTicket(question: string): string {
  return question.slice(question.indexOf("The ticket:"));
}

function first(text: string, expression: RegExp): string {
  return expression.exec(text)?.[1]?.trim() ?? "";
}
