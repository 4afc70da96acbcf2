/** What stands outside the function is shared by all instances, and lost with the process. */
import type { Rule, Scope } from "eslint";
import { isConst, memberOf, type Node, parentOf } from "../names.ts";
import { isFunction, orchestrationCode } from "../orchestration-code.ts";

const mutators: ReadonlySet<string> = new Set([
  "add",
  "clear",
  "copyWithin",
  "delete",
  "fill",
  "pop",
  "push",
  "reverse",
  "set",
  "shift",
  "sort",
  "splice",
  "unshift",
]);

/** See the head of the file. */
export const noModuleState: Rule.RuleModule = {
  meta: {
    type: "problem",
    docs: { description: "Orchestrations keep no state outside their function" },
    messages: {
      written:
        "{{name}} is shared by all instances of this process and lost with it, and a replay changes it again: use a local variable, or ctx.state for what must outlive the execution.",
      read: "{{name}} changes while this process runs, and may hold something else when this orchestration is replayed: take it from the input, from ctx.state, or from an activity.",
    },
    schema: [],
  },
  create(context) {
    return {
      "Program:exit"() {
        const code = orchestrationCode(context);
        const { scopeManager } = context.sourceCode;
        const outer = scopeManager.scopes.filter(({ type }) => type === "module" || type === "global");
        for (const variable of outer.flatMap(({ variables }) => variables)) {
          if (!isState(variable)) continue;
          const changes = new Set(variable.references.filter((reference) => isChange(reference) && isLater(reference)));
          for (const reference of variable.references) {
            const node = reference.identifier as Node;
            if (changes.size === 0 || !code.contains(node)) continue;
            const messageId = changes.has(reference) ? "written" : "read";
            context.report({ node, messageId, data: { name: variable.name } });
          }
        }
      },
    };
  },
};

function isState({ defs }: Scope.Variable): boolean {
  return defs.some(({ type }) => type === "Variable");
}

function isChange(reference: Scope.Reference): boolean {
  const node = reference.identifier as Node;
  if (reference.isWrite()) return reference.init !== true;
  const declarator = reference.resolved?.defs[0]?.node as Node | undefined;
  if (declarator?.type !== "VariableDeclarator" || !isConst(declarator) || isDefinition(declarator)) return false;
  const parent = parentOf(node);
  if (parent.type !== "MemberExpression" || parent.object !== node) return false;
  const user = parentOf(parent);
  if (user.type === "AssignmentExpression") return user.left === parent;
  if (user.type === "UpdateExpression") return true;
  if (user.type === "UnaryExpression") return user.operator === "delete";
  return user.type === "CallExpression" && user.callee === parent && mutators.has(memberOf(parent) ?? "");
}

/** Only what holds data can be told to change: a store's `set` may be anything. */
function isDefinition({ init }: Node & { type: "VariableDeclarator" }): boolean {
  if (init === null || init === undefined) return false;
  if (init.type === "ArrayExpression" || init.type === "ObjectExpression") return false;
  return !(
    init.type === "NewExpression" &&
    init.callee.type === "Identifier" &&
    /^(Weak)?(Map|Set)$|^Array$/.test(init.callee.name)
  );
}

/** Not while the module is being loaded: that happens before every replay, and in the same way. */
function isLater({ identifier }: Scope.Reference): boolean {
  for (let each: Node | null = identifier as Node; each !== null && each !== undefined; each = each.parent) {
    if (isFunction(each)) return true;
  }
  return false;
}
