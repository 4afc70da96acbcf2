/** The project that `stet init` makes: one orchestration, one activity, a test in virtual time, and the configuration. */

/** What kind of store the project uses. */
export type StoreKind = "sqlite" | "postgres";

/** The files of a project, by their paths in it. */
export function projectFiles(name: string, store: StoreKind, version: string): { readonly [path: string]: string } {
  const manifest = {
    name,
    version: "0.0.0",
    private: true,
    type: "module",
    scripts: {
      dev: "stet dev",
      worker: "stet worker",
      test: "node --import tsx --test test/*.test.ts",
      check: "tsc --noEmit",
    },
    dependencies: { "@stet/core": `^${version}`, [`@stet/${store}`]: `^${version}`, stet: `^${version}` },
    devDependencies: {
      ...(store === "sqlite" ? {} : { "@stet/sqlite": `^${version}` }),
      "@stet/testing": `^${version}`,
      "@types/node": "^20.19.43",
      tsx: "^4.23.15",
      typescript: ">=5.9",
    },
  };
  return {
    "package.json": `${JSON.stringify(manifest, undefined, 2)}\n`,
    "tsconfig.json": tsconfig,
    ".gitignore": "node_modules/\n*.db\n*.db-shm\n*.db-wal\n.env\n",
    "stet.config.ts": config(name, store),
    "src/activities.ts": activities,
    "src/orchestrations.ts": orchestrations,
    "test/place-order.test.ts": test,
    "README.md": readme(name),
  };
}

const tsconfig = `{
  "compilerOptions": {
    "target": "es2023",
    "module": "nodenext",
    "types": ["node"],
    "strict": true,
    "noEmit": true,
    "allowImportingTsExtensions": true,
    "verbatimModuleSyntax": true,
    "erasableSyntaxOnly": true,
    "skipLibCheck": true
  },
  "include": ["stet.config.ts", "src", "test"]
}
`;

function config(name: string, store: StoreKind): string {
  const storage =
    store === "sqlite" ? `"sqlite:${name}.db"` : `process.env["DATABASE_URL"] ?? "postgres://localhost/${name}"`;
  return `import { defineConfig } from "stet";
import { buy } from "./src/activities.ts";
import { placeOrder } from "./src/orchestrations.ts";

export default defineConfig({
  storage: ${storage},
  orchestrations: [placeOrder],
  activities: [buy],
});
`;
}

const activities = `import { activity } from "@stet/core";

export interface Order {
  readonly item: string;
  readonly price: number;
}

/** Activities do what the world notices. They may fail, and are tried again; what they answer is recorded once. */
export const buy = activity("buy", { retry: { maxAttempts: 3 } }, async (ctx, order: Order) => {
  console.log(\`buying \${order.item}, \${ctx.idempotencyKey}\`);
  return \`bought \${order.item} for \${order.price}\`;
});
`;

const orchestrations = `import { orchestration } from "@stet/core";
import { buy, type Order } from "./activities.ts";

/** Orchestrations decide. They may wait for days, and go on from their history wherever they were killed. */
export const placeOrder = orchestration("placeOrder", async (ctx, order: Order) => {
  if (order.price > 100) {
    ctx.setStatus("waiting for approval");
    const answer = await ctx.waitForEvent<{ approved: boolean }>("approval", { details: order, timeout: "3d" });
    if (!answer.approved) return \`refused \${order.item}\`;
  }
  return ctx.activity(buy, order);
});
`;

const test = `import assert from "node:assert/strict";
import { test } from "node:test";
import { isStetError } from "@stet/core";
import { sqlite } from "@stet/sqlite";
import { TestEnvironment } from "@stet/testing";
import { buy } from "../src/activities.ts";
import { placeOrder } from "../src/orchestrations.ts";

function start(): Promise<TestEnvironment> {
  return TestEnvironment.start({ storage: sqlite(":memory:"), orchestrations: [placeOrder], activities: [buy] });
}

test("what is cheap is bought at once", async () => {
  const env = await start();

  const run = await env.startOrchestration(placeOrder, { item: "a pen", price: 2 });

  assert.equal(await env.result(run), "bought a pen for 2");
  await env.close();
});

test("what is dear is bought when somebody approves", async () => {
  const env = await start();

  const run = await env.startOrchestration(placeOrder, { item: "a desk", price: 900 });
  await run.raiseEvent("approval", { approved: true });

  assert.equal(await env.result(run), "bought a desk for 900");
  await env.close();
});

test("nobody waits for longer than three days, which pass at once here", async () => {
  const env = await start();

  const run = await env.startOrchestration(placeOrder, { item: "a yacht", price: 900_000 });

  await assert.rejects(env.result(run), (error) => isStetError(error, "orchestration_failed"));
  await env.close();
});
`;

function readme(name: string): string {
  return `# ${name}

\`\`\`sh
npm install
npm test
npm run dev                                # and in another terminal:
npx stet start placeOrder --input '{"item":"a desk","price":900}' --id desk
npx stet show desk
npx stet raise desk approval '{"approved":true}'
npx stet show desk
\`\`\`

\`src/orchestrations.ts\` decides, \`src/activities.ts\` does, \`stet.config.ts\` says what runs where.
`;
}
