/** Only promises of the context, and promises made of them, settle again on replay. */
import type { Rule } from "eslint";
import { ambientOf } from "../ambient.ts";
import { isDurable } from "../durable.ts";
import { bare, memberOf, type Node } from "../names.ts";
import { orchestrationCode } from "../orchestration-code.ts";

/** See the head of the file. */
export const noForeignAwait: Rule.RuleModule = {
  meta: {
    type: "problem",
    docs: { description: "Orchestrations wait only for promises of ctx" },
    messages: {
      foreign:
        "{{what}} is not a promise of ctx, and no replay can settle it: do this in an activity, and await ctx.activity(...).",
      forAwait: "What is read here piece by piece is not recorded: read it in an activity, and loop over its result.",
    },
    schema: [],
  },
  create(context) {
    const code = () => orchestrationCode(context);
    return {
      AwaitExpression(node) {
        if (!code().contains(node)) return;
        const what = foreign(node.argument as Node);
        if (what !== undefined) context.report({ node: node.argument, messageId: "foreign", data: { what } });
      },
      ForOfStatement(node) {
        if (!node.await || !code().contains(node)) return;
        if (foreign(node.right as Node) !== undefined) context.report({ node: node.right, messageId: "forAwait" });
      },
    };

    /** What is awaited, where it is certainly not of the context. What cannot be seen is let pass. */
    function foreign(expression: Node): string | undefined {
      const node = bare(expression);
      if (node.type === "NewExpression") {
        return code()
          .names.nameOf(node.callee as Node)
          ?.path.join(".") === "Promise"
          ? "new Promise(...)"
          : undefined;
      }
      if (node.type !== "CallExpression" || isDurable(node, code())) return undefined;
      const callee = bare(node.callee as Node);
      const name = code().names.nameOf(callee);
      if (name !== undefined && ambientOf(name) !== undefined) return undefined; // told by its own rule
      if (node.arguments.some((argument) => isGivenDurable(argument as Node))) return undefined;
      if (callee.type === "MemberExpression" && !code().isContext(callee.object as Node)) {
        const owner = code()
          .names.nameOf(callee.object as Node)
          ?.path.join(".");
        if (owner === "Promise" || /^(then|catch|finally)$/.test(memberOf(callee) ?? "")) return undefined;
      }
      if (name?.module === undefined || (isOurs(name.module) && isHelperOf(node))) return undefined;
      return `${context.sourceCode.getText(callee as never)}(...)`;
    }

    /** A function of this project whose arguments may hold the context, or promises of it. */
    function isHelperOf({ callee, arguments: given }: Node & { type: "CallExpression" }): boolean {
      return callee.type === "Identifier" && given.some(({ type }) => type !== "Literal" && type !== "TemplateLiteral");
    }

    /** A helper may wait for what it is given. */
    function isGivenDurable(argument: Node): boolean {
      if (code().isContext(argument) || isDurable(argument, code())) return true;
      const node = bare(argument);
      if (node.type === "ArrayExpression")
        return node.elements.some((each) => each !== null && isGivenDurable(each as Node));
      if (node.type !== "ObjectExpression") return code().localFunction(node) !== undefined;
      return node.properties.some((each) => each.type === "Property" && isGivenDurable(each.value as Node));
    }
  },
};

function isOurs(module: string): boolean {
  return /^[./#]/.test(module);
}
