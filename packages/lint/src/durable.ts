/** Which promises a replay can settle: those of the context, and those made of them. */
import { bare, isConst, memberOf, type Node } from "./names.ts";
import { isFunction, type OrchestrationCode } from "./orchestration-code.ts";

/** Methods of the context that answer a durable promise. */
const durableMethods: ReadonlySet<string> = new Set([
  "activity",
  "timer",
  "waitForEvent",
  "subOrchestration",
  "continueAsNew",
  "race",
  "generate",
  "generateWithSystem",
  "generateWithContext",
  "generateStructured",
  "generateValidated",
  "ifTrue",
  "classify",
  "extract",
  "extractFeatures",
  "summarize",
  "sentiment",
  "chat",
  "embed",
]);

const combinators: ReadonlySet<string> = new Set(["all", "allSettled", "any", "race"]);
/** Methods of promises that answer a promise made of them. */
export const continuations: ReadonlySet<string> = new Set(["then", "catch", "finally"]);

/** Whether an expression is a durable promise, as far as this file shows. */
export function isDurable(expression: Node, code: OrchestrationCode, seen: ReadonlySet<Node> = new Set()): boolean {
  const node = bare(expression);
  if (seen.has(node)) return false;
  const been = new Set(seen).add(node);
  switch (node.type) {
    case "CallExpression":
      return isDurableCall(node, code, been);
    case "ConditionalExpression":
      return isDurable(node.consequent as Node, code, been) || isDurable(node.alternate as Node, code, been);
    case "LogicalExpression":
      return isDurable(node.right as Node, code, been);
    case "Identifier": {
      const declarator = code.names.variable(node)?.defs[0]?.node as Node | undefined;
      if (declarator?.type !== "VariableDeclarator" || !isConst(declarator) || declarator.id.type !== "Identifier")
        return false;
      return (
        declarator.init !== null && declarator.init !== undefined && isDurable(declarator.init as Node, code, been)
      );
    }
    default:
      return false;
  }
}

function isDurableCall(
  node: Node & { type: "CallExpression" },
  code: OrchestrationCode,
  seen: ReadonlySet<Node>,
): boolean {
  const callee = bare(node.callee as Node);
  if (callee.type === "MemberExpression") {
    const member = memberOf(callee) ?? "";
    const owner = callee.object as Node;
    if (code.isContext(owner)) return durableMethods.has(member);
    if (continuations.has(member)) return isDurable(owner, code, seen);
    if (code.names.nameOf(owner)?.path.join(".") === "Promise") return combinators.has(member);
  }
  const local = code.localFunction(callee);
  return local !== undefined && isFunction(local) && local.async === true;
}
