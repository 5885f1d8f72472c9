import { type Node, Position } from "@xyflow/react";

interface Size {
  width: number;
  height: number;
}

/** How large a node is and where its edges end, told beforehand: React Flow would draw each node once to measure it. */
export function boxOf({ width, height }: Size): Pick<Node, "width" | "height" | "measured" | "handles"> {
  const middle = { y: height / 2, width: 1, height: 1 };
  return {
    width,
    height,
    measured: { width, height },
    handles: [
      { type: "target", position: Position.Left, x: 0, ...middle },
      { type: "source", position: Position.Right, x: width, ...middle },
    ],
  };
}
