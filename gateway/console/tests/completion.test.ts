import { describe, expect, test } from "vitest";
import { compared } from "../src/pages/editor/Comparison";
import { inExpression, inText, inYaml } from "../src/pages/editor/model/completion";
import { readDefinition } from "../src/pages/editor/model/definition";

const TEXT = `params:
  words: {type: list}
nodes:
  first:
    type: probe
  each:
    type: probe
    needs: [first]
    for_each: params.words
  last:
    type: probe
    needs: [each]
    when: `;

const definition = readDefinition(TEXT);
const nodeOf = (name: string) => definition.nodes.find((node) => node.name === name);
const labels = (found: { found: { label: string }[] } | null) => found?.found.map((one) => one.label);
const known = { types: ["probe", "add_episode"], dags: ["other"] };

describe("completion", () => {
  test("names nodes whose results can be there, and nothing that waits for this one", () => {
    expect(labels(inExpression("nodes.", definition, nodeOf("each")))).toEqual(["first"]);
    expect(labels(inExpression("size(nodes.e", definition, nodeOf("last")))).toEqual(["first", "each"]);
  });

  test("says what a fan-out has, and what another node has", () => {
    expect(labels(inExpression("nodes.each.", definition, nodeOf("last")))).toContain("results");
    expect(labels(inExpression("nodes.first.re", definition, nodeOf("last")))).toContain("result");
  });

  test("offers an item in a fan-out alone", () => {
    expect(labels(inText("${ ", definition, nodeOf("each")))).toContain("item");
    expect(labels(inText("${ ", definition, nodeOf("last")))).not.toContain("item");
    expect(inText("no expression", definition, nodeOf("last"))).toBeNull();
  });

  test("knows what stands where in the text", () => {
    const at = (line: string) => labels(inYaml(`${TEXT}x\n${line}`, TEXT.length + 2 + line.length, definition, known));
    expect(labels(inYaml(TEXT, TEXT.length, definition, known))).toContain("params");
    expect(at("    type: ")).toEqual(["probe", "add_episode"]);
    expect(at("    dag: o")).toEqual(["other"]);
    expect(at("    needs: [first, ")).toEqual(["first", "each"]);
    expect(at("    ret")).toContain("retry");
    expect(at("    input: {a: '${ params.")).toEqual(["words"]);
  });
});

test("a comparison says of each node what became of it", () => {
  const { nodes, differences } = compared("nodes:\n  a: {type: t}\n  b: {type: t}\n  c: {type: t}\n", "nodes:\n  c: {type: t} # so\n  b: {type: u}\n  d: {type: t}\n");
  expect(nodes.map(({ name }) => [name, differences.get(name)])).toEqual([
    ["c", "same"],
    ["b", "changed"],
    ["d", "added"],
    ["a", "removed"],
  ]);
});
