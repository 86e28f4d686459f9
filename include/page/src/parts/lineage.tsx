import { graphlib, layout } from "@dagrejs/dagre";
import { useMemo } from "react";
import { useHref, useNavigate } from "react-router";
import type { State } from "../api/types";
import { pathOf } from "./basics";
import { SIGNS } from "./states";

export interface LineageNode {
  id: string;
  dataset: string;
  partition: string | null;
  state: State;
  layer: string;
}

const HEIGHT = 50;
const LETTER = 7.1;

interface LineageProps {
  label: string;
  nodes: LineageNode[];
  edges: [string, string][];
  here: string;
  root?: string | null;
}

/** Datasets and what they are made of, from left to right; each box is a link. */
export function Lineage({ label, nodes, edges, here, root }: LineageProps) {
  const drawn = useMemo(() => laidOut(nodes, edges), [nodes, edges]);
  return (
    <div className="scroll">
      <svg className="drawing" width={drawn.width} height={drawn.height} role="group" aria-label={label}>
        <defs>
          {["line-strong", "unsafe"].map((colour) => (
            <marker
              key={colour}
              id={`arrow-${colour}`}
              viewBox="0 0 8 8"
              refX="7"
              refY="4"
              markerWidth="9"
              markerHeight="9"
              markerUnits="userSpaceOnUse"
              orient="auto"
            >
              <path d="M0,0 L8,4 L0,8 z" fill={`var(--${colour})`} />
            </marker>
          ))}
        </defs>
        {drawn.edges.map((edge) => (
          <path
            key={edge.key}
            className={edge.isBad ? "edge bad" : "edge"}
            d={edge.path}
            markerEnd={`url(#arrow-${edge.isBad ? "unsafe" : "line-strong"})`}
          />
        ))}
        {drawn.nodes.map((node) => (
          <Box key={node.id} {...node} isHere={node.id === here} isRoot={node.id === root} />
        ))}
      </svg>
    </div>
  );
}

interface BoxProps extends LineageNode {
  x: number;
  y: number;
  width: number;
  isHere: boolean;
  isRoot: boolean;
}

function Box({ dataset, partition, state, layer, x, y, width, isHere, isRoot }: BoxProps) {
  const to = partition ? pathOf.partition(dataset, partition) : pathOf.dataset(dataset);
  const href = useHref(to);
  const navigate = useNavigate();
  const place = [isHere && "this one", isRoot && "where it began"].filter(Boolean).join(", ");
  return (
    <a
      href={href}
      aria-label={`${dataset} ${partition ?? ""}: ${state}${place ? `, ${place}` : ""}`}
      onClick={(event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey) return;
        event.preventDefault();
        navigate(to);
      }}
    >
      <g className={isHere ? "node here" : "node"} data-is={state} transform={`translate(${x},${y})`}>
        <rect className="box" width={width} height={HEIGHT} rx="6" />
        <rect className="band" width="6" height={HEIGHT} rx="3" />
        <text x="16" y="21">
          {dataset}
        </text>
        <text x="16" y="38" className="faint">
          {SIGNS[state]} {state} · {isRoot ? "it began here" : layer}
        </text>
      </g>
    </a>
  );
}

function laidOut(nodes: LineageNode[], edges: [string, string][]) {
  const graph = new graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 16, ranksep: 44, marginx: 4, marginy: 6 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const node of nodes) {
    const letters = Math.max(node.dataset.length, 28);
    graph.setNode(node.id, { width: letters * LETTER + 30, height: HEIGHT });
  }
  const known = new Map(nodes.map((node) => [node.id, node]));
  for (const [from, to] of edges) if (known.has(from) && known.has(to)) graph.setEdge(from, to);
  layout(graph);
  const { width = 0, height = 0 } = graph.graph() as { width?: number; height?: number };
  const isBad = (id: string) => ["unsafe", "quarantined"].includes(known.get(id)?.state ?? "");
  return {
    width: Math.ceil(width) + 2,
    height: Math.ceil(height) + 2,
    nodes: nodes.map((node) => {
      const at = graph.node(node.id) as Placed;
      return { ...node, width: at.width, x: at.x - at.width / 2, y: at.y - HEIGHT / 2 };
    }),
    edges: graph.edges().map(({ v, w }) => {
      const from = graph.node(v) as Placed;
      const to = graph.node(w) as Placed;
      const path = curve(from.x + from.width / 2, from.y, to.x - to.width / 2, to.y);
      return { key: `${v} ${w}`, path, isBad: isBad(v) && isBad(w) };
    }),
  };
}

interface Placed {
  x: number;
  y: number;
  width: number;
}

function curve(x: number, y: number, toX: number, toY: number): string {
  const middle = (x + toX) / 2;
  return `M${x},${y} C${middle},${y} ${middle},${toY} ${toX},${toY}`;
}
