/** The JSON form of a flow graph, told to other tools. It follows `graph.ts`; a test holds all graphs of the corpus to it. */

/**
 * The JSON Schema (draft 2020-12) of what {@link toJson} writes.
 *
 * @example
 * ```ts
 * import { writeFileSync } from "node:fs";
 * writeFileSync("flow-graph.schema.json", JSON.stringify(flowGraphSchema, null, 2));
 * ```
 */
export const flowGraphSchema: Readonly<Record<string, unknown>> = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  title: "Flow graph of an orchestration",
  description:
    "What an orchestration may do, as toJson() of @stet/diagram writes it. The same flow is told twice: nodes and edges say who may follow whom, outline is the structure of the code. Both name nodes by id.",
  type: "object",
  properties: {
    $comment: {
      description: "Who made the file, and how to make it anew.",
      type: "string",
    },
    formatVersion: {
      const: 1,
    },
    name: {
      description: "Of the orchestration.",
      type: "string",
    },
    version: {
      description: "Of the orchestration.",
      type: "string",
    },
    followed: { description: "Of a graph with marks: how many histories are marked.", $ref: "#/$defs/count" },
    strayed: { description: "How many are no path of the graph.", $ref: "#/$defs/count" },
    summary: { description: "What it does, in the words of a model.", type: "string" },
    title: { $ref: "#/$defs/title" },
    icon: { $ref: "#/$defs/icon" },
    color: { $ref: "#/$defs/color" },
    description: {
      description: "From the definition.",
      type: "string",
    },
    at: {
      $ref: "#/$defs/position",
    },
    nodes: {
      description: "In source order.",
      type: "array",
      items: {
        $ref: "#/$defs/node",
      },
    },
    edges: {
      description: "In the order in which a reader meets them.",
      type: "array",
      items: {
        $ref: "#/$defs/edge",
      },
    },
    groups: {
      description: "Nodes that belong together, outer groups before inner ones.",
      type: "array",
      items: {
        $ref: "#/$defs/group",
      },
    },
    outline: {
      $ref: "#/$defs/block",
    },
  },
  required: ["formatVersion", "name", "version", "at", "nodes", "edges", "groups", "outline"],
  additionalProperties: false,
  $defs: {
    position: {
      description: "Where something stands in the source.",
      type: "object",
      properties: {
        file: {
          description: "Relative to the folder of the project, with forward slashes.",
          type: "string",
        },
        line: {
          type: "integer",
          minimum: 1,
        },
        column: {
          type: "integer",
          minimum: 1,
        },
      },
      required: ["file", "line", "column"],
      additionalProperties: false,
    },
    title: { description: "From the definition that is called, or of the orchestration itself.", type: "string" },
    icon: { description: "From the definition: an emoji or a letter or two.", type: "string" },
    color: {
      description: "From the definition. Absent: by kind.",
      enum: ["blue", "green", "yellow", "orange", "red", "purple", "grey"],
    },
    concurrency: {
      description:
        "How calls run beside each other: as the method of Promise of that name; `first` is ctx.race; `begin` is a call that is not awaited where it is made.",
      enum: ["all", "allSettled", "race", "any", "first", "begin"],
    },
    node: {
      description: "A place in a flow.",
      type: "object",
      properties: {
        id: {
          description: "Made of kind and name, numbered among equals.",
          type: "string",
        },
        kind: {
          enum: [
            "start",
            "completed",
            "failed",
            "activity",
            "timer",
            "event",
            "subOrchestration",
            "startOrchestration",
            "sendEvent",
            "model",
            "decision",
            "loop",
            "fork",
            "join",
            "catch",
            "return",
            "throw",
            "continueAsNew",
            "dynamic",
          ],
        },
        title: { $ref: "#/$defs/title" },
        icon: { $ref: "#/$defs/icon" },
        color: { $ref: "#/$defs/color" },
        label: {
          description: "For people: one line.",
          type: "string",
        },
        name: {
          description: "What is called. Absent when the source does not say.",
          type: "string",
        },
        categories: {
          description: "Of a classify.",
          type: "array",
          items: {
            type: "string",
          },
        },
        mode: {
          $ref: "#/$defs/concurrency",
        },
        join: {
          description: "The join at which the flow stops for what this fork begins.",
          type: "string",
        },
        mark: {
          $ref: "#/$defs/mark",
        },
        at: {
          $ref: "#/$defs/position",
        },
      },
      required: ["id", "kind", "label", "at"],
      additionalProperties: false,
    },
    count: { type: "integer", minimum: 0 },
    mark: {
      description: "What recorded executions did at a node, all of them together.",
      type: "object",
      properties: {
        visits: { $ref: "#/$defs/count" },
        failures: { $ref: "#/$defs/count" },
        open: { $ref: "#/$defs/count" },
        attempts: { $ref: "#/$defs/count" },
        tokens: { $ref: "#/$defs/count" },
        costUsd: { type: "number", minimum: 0 },
        p50Ms: { type: "number", minimum: 0 },
        p95Ms: { type: "number", minimum: 0 },
      },
      required: ["visits", "failures", "open", "attempts", "tokens", "costUsd"],
      additionalProperties: false,
    },
    edge: {
      description: "From one node to the one that may follow it.",
      type: "object",
      properties: {
        from: {
          type: "string",
        },
        to: {
          type: "string",
        },
        kind: {
          enum: ["next", "failure", "fork", "nextExecution"],
        },
        label: {
          type: "string",
        },
        many: {
          description: "A fork that happens any number of times.",
          const: true,
        },
        taken: { description: "How often recorded executions went this way.", $ref: "#/$defs/count" },
      },
      required: ["from", "to", "kind"],
      additionalProperties: false,
    },
    group: {
      description: "Nodes that belong together.",
      type: "object",
      properties: {
        id: {
          type: "string",
        },
        kind: {
          enum: ["try", "loop", "concurrent", "helper"],
        },
        label: {
          type: "string",
        },
        parent: {
          description: "The group that it stands in.",
          type: "string",
        },
        nodes: {
          description: "Its own, without those of the groups in it.",
          type: "array",
          items: {
            type: "string",
          },
        },
      },
      required: ["id", "kind", "label", "nodes"],
      additionalProperties: false,
    },
    block: {
      description: "Parts one after another.",
      type: "array",
      items: {
        $ref: "#/$defs/part",
      },
    },
    arm: {
      description: "One of several ways.",
      type: "object",
      properties: {
        label: {
          type: "string",
        },
        block: {
          $ref: "#/$defs/block",
        },
        falls: {
          const: true,
        },
        many: {
          const: true,
        },
      },
      required: ["label", "block"],
      additionalProperties: false,
    },
    part: {
      oneOf: [
        {
          type: "object",
          properties: {
            part: {
              const: "node",
            },
            id: {
              type: "string",
            },
          },
          required: ["part", "id"],
          additionalProperties: false,
        },
        {
          type: "object",
          properties: {
            part: {
              const: "choice",
            },
            id: {
              type: "string",
            },
            arms: {
              type: "array",
              items: {
                $ref: "#/$defs/arm",
              },
            },
          },
          required: ["part", "id", "arms"],
          additionalProperties: false,
        },
        {
          type: "object",
          properties: {
            part: {
              const: "dynamic",
            },
            id: {
              type: "string",
            },
            perhaps: {
              type: "array",
              items: {
                $ref: "#/$defs/block",
              },
            },
          },
          required: ["part", "id", "perhaps"],
          additionalProperties: false,
        },
        {
          type: "object",
          properties: {
            part: {
              const: "loop",
            },
            id: {
              type: "string",
            },
            group: {
              type: "string",
            },
            test: {
              $ref: "#/$defs/block",
            },
            block: {
              $ref: "#/$defs/block",
            },
            form: {
              enum: ["while", "doWhile", "endless"],
            },
          },
          required: ["part", "id", "group", "test", "block", "form"],
          additionalProperties: false,
        },
        {
          type: "object",
          properties: {
            part: {
              const: "attempt",
            },
            group: {
              type: "string",
            },
            block: {
              $ref: "#/$defs/block",
            },
            caught: {
              type: "object",
              properties: {
                id: {
                  type: "string",
                },
                block: {
                  $ref: "#/$defs/block",
                },
              },
              required: ["id", "block"],
              additionalProperties: false,
            },
            finally: {
              $ref: "#/$defs/block",
            },
          },
          required: ["part", "group", "block"],
          additionalProperties: false,
        },
        {
          type: "object",
          properties: {
            part: {
              const: "concurrent",
            },
            group: {
              type: "string",
            },
            fork: {
              type: "string",
            },
            join: {
              type: "string",
            },
            arms: {
              type: "array",
              items: {
                $ref: "#/$defs/arm",
              },
            },
            begun: {
              type: "array",
              items: {
                type: "string",
              },
            },
          },
          required: ["part", "group", "fork", "join", "arms", "begun"],
          additionalProperties: false,
        },
        {
          type: "object",
          properties: {
            part: {
              const: "begin",
            },
            fork: {
              type: "string",
            },
            arm: {
              $ref: "#/$defs/arm",
            },
          },
          required: ["part", "fork", "arm"],
          additionalProperties: false,
        },
        {
          type: "object",
          properties: {
            part: {
              const: "join",
            },
            id: {
              type: "string",
            },
            begun: {
              type: "array",
              items: {
                type: "string",
              },
            },
          },
          required: ["part", "id", "begun"],
          additionalProperties: false,
        },
        {
          type: "object",
          properties: {
            part: {
              const: "helper",
            },
            group: {
              type: "string",
            },
            block: {
              $ref: "#/$defs/block",
            },
          },
          required: ["part", "group", "block"],
          additionalProperties: false,
        },
        {
          type: "object",
          properties: {
            part: {
              const: "jump",
            },
            to: {
              enum: ["return", "break", "continue", "throw"],
            },
            target: {
              type: "string",
            },
            id: {
              type: "string",
            },
          },
          required: ["part", "to"],
          additionalProperties: false,
        },
      ],
    },
  },
};
