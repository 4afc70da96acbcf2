/** Time, chance, identity, the network, the file system and the environment come through the context or from activities. */
import type { Rule } from "eslint";
import { type Ambient, ambientOf } from "../ambient.ts";
import { bare, memberOf, type Node, parentOf } from "../names.ts";
import { orchestrationCode } from "../orchestration-code.ts";

const inUtc: { readonly [member: string]: string } = {
  getDate: "getUTCDate()",
  getDay: "getUTCDay()",
  getFullYear: "getUTCFullYear()",
  getHours: "getUTCHours()",
  getMinutes: "getUTCMinutes()",
  getMonth: "getUTCMonth()",
  getTimezoneOffset: "times in UTC",
};

/** With how many arguments they say the same everywhere. */
const inLocale: { readonly [member: string]: number } = {
  toLocaleString: 1,
  toLocaleDateString: 2,
  toLocaleTimeString: 2,
};

/** See the head of the file. */
export const noAmbient: Rule.RuleModule = {
  meta: {
    type: "problem",
    fixable: "code",
    docs: { description: "Orchestrations take time, chance and the outside world from ctx and activities only" },
    messages: {
      answers:
        "{{name}} answers as {{instead}} in an orchestration, and only while the determinism guard is on: write {{instead}}.",
      refuses: "{{name}} throws a DeterminismError in an orchestration: use {{instead}}.",
      ambient: "{{name}} may answer otherwise when this orchestration is replayed: use {{instead}}.",
      place:
        "{{name}} depends on the time zone or the language of the machine, and may answer otherwise on another one: use {{instead}}.",
    },
    schema: [],
  },
  create(context) {
    const reported = new Set<Node>();
    const inOrchestration = (node: Node) => orchestrationCode(context).contains(node);

    function check(node: Node): void {
      if (isPartOfName(node) || !inOrchestration(node)) return;
      const name = orchestrationCode(context).names.nameOf(node);
      const ambient = name && ambientOf(name);
      if (name === undefined || ambient === undefined || isToldElsewhere(node)) return;
      if (name.path.length === 0 && parentOf(node).type === "MemberExpression") return; // told by its member
      if (ambient.name === "Date") return checkDate(node);
      report(node, ambient);
    }

    /** What was taken from its owner inside the orchestration is told there, and not again where it is used. */
    function isToldElsewhere(node: Node): boolean {
      const parent = parentOf(node);
      if (parent.type === "VariableDeclarator") return parent.id === node;
      const definition = orchestrationCode(context).names.variable(node)?.defs[0];
      const [declared] = definition?.type === "Variable" ? [definition.node as Node] : [];
      return declared !== undefined && inOrchestration(declared) && parentOf(parentOf(parent)) !== declared;
    }

    /** `Date` alone is a type, a constructor with a date, or the clock. */
    function checkDate(node: Node): void {
      const parent = parentOf(node);
      if (parent.type === "NewExpression" && parent.callee === node && parent.arguments.length === 0) {
        report(parent, { name: "new Date()", instead: "new Date(ctx.now())", guard: "answers", fix: "date" });
      } else if (parent.type === "CallExpression" && parent.callee === node) {
        report(parent, {
          name: "Date()",
          instead: "new Date(ctx.now()).toString()",
          guard: "answers",
          fix: "dateText",
        });
      }
    }

    function report(node: Node, { name, instead, guard, fix }: Ambient): void {
      if (reported.has(node)) return;
      reported.add(node);
      const ctx = orchestrationCode(context).contextAt(node);
      const user = parentOf(node);
      const target = user.type === "CallExpression" && user.callee === node ? user : node;
      const text = fix === undefined || ctx === undefined ? undefined : written(fix, ctx);
      const isWhole =
        target.type === "CallExpression" ? target.arguments.length === 0 : target.type === "NewExpression";
      context.report({
        node,
        messageId: guard ?? "ambient",
        data: { name, instead },
        ...(text !== undefined && isWhole && { fix: (fixer) => fixer.replaceText(target, text) }),
      });
    }

    return {
      Identifier: check,
      MemberExpression(node) {
        check(node);
      },
      CallExpression(node) {
        const callee = bare(node.callee as Node);
        if (callee.type !== "MemberExpression" || !inOrchestration(node)) return;
        const member = memberOf(callee) ?? "";
        const given = node.arguments.length;
        const utc = Object.hasOwn(inUtc, member) && given === 0 ? inUtc[member] : undefined;
        const isLocal = Object.hasOwn(inLocale, member) && given < (inLocale[member] ?? 0);
        const instead = utc ?? (isLocal ? "a locale, and of dates a time zone, as its arguments" : undefined);
        if (instead !== undefined) context.report({ node, messageId: "place", data: { name: `${member}()`, instead } });
      },
    };
  },
};

function written(fix: NonNullable<Ambient["fix"]>, ctx: string): string {
  switch (fix) {
    case "now":
    case "random":
    case "uuid":
      return `${ctx}.${fix}()`;
    case "date":
      return `new Date(${ctx}.now())`;
    case "dateText":
      return `new Date(${ctx}.now()).toString()`;
  }
}

/** `env` of `process.env`, `Date` of `Date.now`, a key of an object, a name that is being declared, a type. */
function isPartOfName(node: Node): boolean {
  const parent = parentOf(node);
  if (parent.type === "MemberExpression") return parent.property === node && !parent.computed;
  if (parent.type === "Property") return parent.key === node && !parent.computed && parent.value !== node;
  return /^(TS|Import|Export|Label)/.test(parent.type) && !/^TS(As|NonNull|Satisfies)/.test(parent.type);
}
