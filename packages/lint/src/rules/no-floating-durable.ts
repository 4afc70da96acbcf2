/** What is asked of the context is waited for: what is still open when the orchestration ends is given up. */
import type { Rule } from "eslint";
import { continuations, isDurable } from "../durable.ts";
import { bare, memberOf, type Node } from "../names.ts";
import { isFunction, orchestrationCode } from "../orchestration-code.ts";

/** See the head of the file. */
export const noFloatingDurable: Rule.RuleModule = {
  meta: {
    type: "problem",
    hasSuggestions: true,
    docs: { description: "Durable promises are awaited, or dropped with void" },
    messages: {
      floating:
        "This durable promise is not waited for: it is cancelled when the orchestration ends, and its failure is never seen. Use await, collect it for Promise.all, or say void when that is meant.",
      unused:
        "{{name}} is a durable promise that is never used: it is cancelled when the orchestration ends, and its failure is never seen. Await it.",
      forEach:
        "forEach does not wait for the durable promises of its callback: use a for loop, or await Promise.all(list.map(...)).",
      await: "Await it.",
    },
    schema: [],
  },
  create(context) {
    const code = () => orchestrationCode(context);
    return {
      ExpressionStatement(node) {
        const expression = node.expression as Node;
        if (!code().contains(node) || !isDurable(expression, code()) || isHandledLater(expression)) return;
        const suggestions = isInAsync(node)
          ? [{ messageId: "await", fix: (fixer: Rule.RuleFixer) => fixer.insertTextBefore(expression, "await ") }]
          : [];
        context.report({ node: expression, messageId: "floating", suggest: suggestions });
      },
      VariableDeclarator(node) {
        const { id, init } = node;
        if (id.type !== "Identifier" || init === null || init === undefined || !code().contains(node)) return;
        if (!isDurable(init as Node, code())) return;
        const [variable] = context.sourceCode.getDeclaredVariables(node);
        if (variable?.references.every((reference) => !reference.isRead()) === true) {
          context.report({ node: id, messageId: "unused", data: { name: id.name } });
        }
      },
      CallExpression(node) {
        const callee = bare(node.callee as Node);
        if (callee.type !== "MemberExpression" || memberOf(callee) !== "forEach" || !code().contains(node)) return;
        const [callback] = node.arguments as Node[];
        const body = callback && (code().localFunction(callback) ?? callback);
        if (body === undefined || !isFunction(body)) return;
        const answers = body.async === true || isDurable(body.body as Node, code());
        if (answers) context.report({ node: callee.property, messageId: "forEach" });
      },
    };
  },
};

/** `promise.catch(...)` of a promise that has a name to be awaited by. */
function isHandledLater(expression: Node): boolean {
  const node = bare(expression);
  if (node.type !== "CallExpression") return false;
  const callee = bare(node.callee as Node);
  if (callee.type !== "MemberExpression" || !continuations.has(memberOf(callee) ?? "")) return false;
  return bare(callee.object as Node).type === "Identifier";
}

function isInAsync(node: Node): boolean {
  for (let each: Node | null = node; each !== null && each !== undefined; each = each.parent) {
    if (isFunction(each)) return each.async === true;
  }
  return false;
}
