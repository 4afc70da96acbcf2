/** The public names of `@stet/diagram`. */

// From source to flow graph
export { readFlowGraphs, type SourceOptions } from "./source/read-flow-graphs.ts";
export type {
  Arm,
  Block,
  Concurrency,
  FlowEdge,
  FlowGraph,
  FlowGroup,
  FlowNode,
  FlowNodeKind,
  Looks,
  NodeMark,
  Part,
  SourcePosition,
} from "./graph.ts";

// From history to path
export { type FlowPath, followHistory, type Visit } from "./follow.ts";
export { type MarkedGraph, markHistories } from "./marks.ts";
export { type FlowBranch, FlowCoverage } from "./coverage.ts";

// From stack frame to source
export { callAt, type SourceCall, type SourceText } from "./source/call-at.ts";

// From flow graph to picture
export { toDot } from "./render/dot.ts";
export { toJson } from "./render/json.ts";
export { flowGraphSchema } from "./flow-graph-schema.ts";
export { toMermaid } from "./render/mermaid.ts";
export { toMermaidSequence } from "./render/mermaid-sequence.ts";
export { toPlantUml } from "./render/plantuml.ts";
export { toPreview } from "./render/preview.ts";
export { toSvg } from "./render/svg.ts";

// In the words of a model
export { describeGraph } from "./describe/describe-graph.ts";
export { type Description, readDescription, withDescription } from "./describe/description.ts";

// Diagrams of a project
export { type DiagramFormat, diagramFormats, drawDiagram } from "./project/formats.ts";
export {
  type DiagramConfig,
  type DiagramProject,
  graphNamed,
  readDiagramProject,
  readProjectGraphs,
} from "./project/project.ts";
export { planDiagrams, planSome } from "./project/files.ts";
export { describedGraphs, planDescriptions } from "./project/descriptions.ts";
export { planEmbedded } from "./project/embedded.ts";
export { applyChanges, diffOfChanges, type FileChange } from "./project/changes.ts";
