/** The order in which calls are made is part of history, so it must not come from where order is an accident. */
import type { Rule, Scope } from "eslint";
import { ambientOf } from "../ambient.ts";
import { bare, memberOf, type Node, parentOf } from "../names.ts";
import { isFunction, orchestrationCode } from "../orchestration-code.ts";

/** See the head of the file. */
export const noUnorderedIteration: Rule.RuleModule = {
  meta: {
    type: "problem",
    fixable: "code",
    docs: { description: "Orchestrations iterate only over what has the same order on every machine" },
    messages: {
      ambient:
        "The order of {{name}} is an accident of this machine, and calls made in it are asked for in another order on another one: read it in an activity that sorts it.",
      filled:
        "{{name}} has the order in which this process happened to fill it, and another process has another one: take the list from the input or from an activity, or sort it.",
      locale:
        "localeCompare() without a locale sorts as the language of the machine does: name one, or compare with < and >.",
    },
    schema: [],
  },
  create(context) {
    const code = () => orchestrationCode(context);

    function check(expression: Node): void {
      const node = bare(expression);
      if (!code().contains(node)) return;
      const source = sourceOf(node);
      const name = code().names.nameOf(source.type === "CallExpression" ? (source.callee as Node) : source);
      const ambient = name && ambientOf(name);
      if (ambient !== undefined) context.report({ node, messageId: "ambient", data: { name: ambient.name } });
      const variable = code().names.variable(source);
      if (variable !== undefined && isFilledLater(variable)) {
        context.report({ node, messageId: "filled", data: { name: variable.name } });
      }
    }

    /** `list` of `Object.keys(list)`, `list.values()`, `Array.from(list)`. */
    function sourceOf(node: Node): Node {
      if (node.type !== "CallExpression") return node;
      const callee = bare(node.callee as Node);
      if (callee.type !== "MemberExpression") return node;
      const member = memberOf(callee) ?? "";
      const path = code().names.nameOf(callee)?.path.join(".") ?? "";
      const [first] = node.arguments as Node[];
      if (/^(Object\.(keys|values|entries)|Array\.from|Reflect\.ownKeys)$/.test(path) && first !== undefined)
        return bare(first);
      return /^(keys|values|entries)$/.test(member) && node.arguments.length === 0 ? bare(callee.object as Node) : node;
    }

    return {
      ForOfStatement: (node) => check(node.right as Node),
      ForInStatement: (node) => check(node.right as Node),
      SpreadElement: (node) => check(node.argument as Node),
      CallExpression(node) {
        const callee = bare(node.callee as Node);
        if (callee.type !== "MemberExpression" || !code().contains(node)) return;
        const member = memberOf(callee) ?? "";
        if (/^(map|forEach|flatMap|filter|reduce)$/.test(member)) check(callee.object as Node);
        if (member !== "localeCompare" || node.arguments.length !== 1) return;
        const [other] = node.arguments;
        if (other === undefined) return;
        context.report({
          node: callee.property,
          messageId: "locale",
          fix: (fixer) => fixer.insertTextAfter(other, `, "en"`),
        });
      },
    };
  },
};

/** A map or a set of the module that functions put something into. */
function isFilledLater({ defs, references, scope }: Scope.Variable): boolean {
  const declarator = defs[0]?.node as Node | undefined;
  if (declarator?.type !== "VariableDeclarator" || (scope.type !== "module" && scope.type !== "global")) return false;
  const { init } = declarator;
  if (init?.type !== "NewExpression" || init.callee.type !== "Identifier" || !/^(Map|Set)$/.test(init.callee.name))
    return false;
  return references.some(({ identifier }) => {
    const parent = parentOf(identifier as Node);
    return parent.type === "MemberExpression" && /^(set|add)$/.test(memberOf(parent) ?? "") && isInFunction(parent);
  });
}

function isInFunction(node: Node): boolean {
  for (let each: Node | null = node; each !== null && each !== undefined; each = each.parent)
    if (isFunction(each)) return true;
  return false;
}
