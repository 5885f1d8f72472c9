import { isolateHistory, redo, undo, undoDepth } from "@codemirror/commands";
import { EditorState } from "@codemirror/state";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Lexer } from "yaml";
import { type Definition, edgesOf, readDefinition } from "../src/pages/editor/model/definition";
import type { Edit } from "../src/pages/editor/model/edit";
import { transactionOf, unlimitedHistory } from "../src/pages/editor/model/history";
import { endOfPair, isMap, pairOf, parse, startOf } from "../src/pages/editor/model/yaml";

/** EDITS=10000 for the long run, which draws new edits each time, or those of SEED; the short run has always the same. */
const EDITS = Number(process.env.EDITS ?? 200);
const SEED = process.env.SEED ?? (process.env.EDITS === undefined ? "20261130" : undefined);
const SEQUENCE = Math.min(EDITS, 500);

const DAG = `# c0 what this is for
name: pages
description: "two
  lines"   # c1
params:
  # c2 words
  words: {type: list}   # c3
  limit: {type: integer, default: 3}
nodes:
  # c4 first of all
  begin:   # c5
    type: contract_probe
    input: &base {do: "", n: 1}   # c6
    retry: &slow
      # c7
      attempts: 5
      initial_seconds: 2   # c8
  each:
    type: contract_probe
    needs: [begin]   # c9
    for_each: params.words
    input:
      # c10
      <<: *base
      do: "\${ item }"   # c11
    retry: *slow
  same:
    type: other
    needs:
      - begin   # c12
      - each
    input: *base

  ask: {approval: {message: "Go on? \${ nodes.each.failed }"}, needs: [each, same]}   # c13
  last:
    signal: {name: uploaded}
    when: nodes.each.failed == 0 && 'nodes.begin' != "x"
    needs: [ask,
      same]  # c14
    description: |
      several
      lines
# c15
outputs:
  first: \${ nodes.begin.result }   # c16
  all: "\${ size(nodes.each.results) } of \${ params.limit }"
# c17 the end
`;

/** Numbers that choose what is done, where, and with what. */
const step = fc.tuple(fc.nat(15), fc.nat(), fc.nat(), fc.nat());
type Step = [number, number, number, number];

const VALUES = ["plain", "with: colon", "#no comment", "two\nlines", "${ nodes.begin.result }", "yes", "", 7, 0.5, true, null, ["a", "b"], { deep: { er: [1] } }];
/** Names that are other values, where they stand alone. */
const WORDS = ["no", "yes", "on", "y", "n", "true", "null"];
const LINES = ["# cN", "   # cN", "", "  spare: {type: t}  # cN", "\t", "}", "a: b: c", "- x", "&", "*nowhere", '"'];

function editOf([what, one, other, third]: Step, shown: Definition): Edit | null {
  const node = shown.nodes[one % Math.max(1, shown.nodes.length)];
  const second = shown.nodes[other % Math.max(1, shown.nodes.length)];
  const fresh = third % 20 === 0 ? (WORDS[third % WORDS.length] ?? "") : `n${third % 1000}`;
  const isFree = !shown.nodes.some((known) => known.name === fresh);
  const value = VALUES[third % VALUES.length];
  switch (what) {
    case 0:
    case 1:
      return isFree ? { is: "add", name: fresh, fields: { type: "probe", ...(node === undefined ? {} : { needs: [node.name] }), input: { do: value } } } : null;
    case 2:
      return isFree ? { is: "add", name: fresh, fields: { approval: { message: JSON.stringify(value) } } } : null;
    case 3:
      return node === undefined ? null : { is: "remove", names: [node.name] };
    case 4:
      return node === undefined || second === undefined || shown.nodes.length < 6 ? null : { is: "remove", names: [...new Set([node.name, second.name])] };
    case 5:
      return node === undefined || !isFree ? null : { is: "rename", name: node.name, to: fresh };
    case 6:
    case 7:
      return node === undefined || second === undefined || node === second || node.needs.includes(second.name) ? null : { is: "connect", source: second.name, target: node.name };
    case 8: {
      const source = node?.needs[other % Math.max(1, node.needs.length)];
      return node === undefined || source === undefined ? null : { is: "disconnect", source, target: node.name };
    }
    case 9:
      return node === undefined ? null : { is: "set", place: ["nodes", node.name, "input", `k${other % 4}`], value };
    case 10:
      return node === undefined ? null : { is: "set", place: ["nodes", node.name, "input", ["do", "n", "k0", "k1"][other % 4] ?? ""] };
    case 11:
      return node === undefined ? null : { is: "set", place: ["nodes", node.name, "retry", ["attempts", "initial_seconds"][other % 2] ?? ""], value: third % 9 };
    case 12:
      return node === undefined ? null : { is: "set", place: ["nodes", node.name, ["when", "timeout_seconds", "description"][other % 3] ?? ""], ...(third % 3 === 0 ? {} : { value: VALUES[third % 10] }) };
    case 13:
      return { is: "set", place: ["params", `p${other % 3}`, "type"], value: "string" };
    default:
      return null;
  }
}

/** Something typed into the text, sensible or not. */
function typed([what, one, other, third]: Step, text: string, number: number): { from: number; to: number; insert: string } {
  const lines = text.split("\n");
  const line = one % lines.length;
  const from = lines.slice(0, line).reduce((sum, before) => sum + before.length + 1, 0);
  const insert = (LINES[other % LINES.length] ?? "").replace("cN", `d${number}`);
  if (what % 2 === 0) return { from, to: from, insert: `${insert}\n` };
  const at = one % (text.length + 1);
  return { from: at, to: Math.min(text.length, at + (third % 3)), insert: third % 2 === 0 ? "" : insert };
}

/** Not what looks like one within a value. */
const commentsOf = (text: string) => [...new Lexer().lex(text)].flatMap((token) => /^# [cd]\d+\b/.exec(token)?.[0] ?? []);

/** The comments of the nodes that an edit takes out, those behind them on their lines, and those within what it sets. */
function goneWith(edit: Edit, shown: Definition, text: string): Set<string> {
  if (edit.is === "set") {
    const holder = parse(text).document.getIn(edit.place.slice(0, -1));
    const pair = isMap(holder) ? pairOf(holder, String(edit.place.at(-1))) : undefined;
    return new Set(pair === undefined ? [] : commentsOf(text.slice(startOf(pair.key), endOfPair(pair, text))));
  }
  if (edit.is !== "remove") return new Set();
  const gone = shown.nodes.filter((node) => edit.names.includes(node.name));
  return new Set(gone.flatMap(({ from, to }) => commentsOf(text.slice(from, Math.max(text.indexOf("\n", to), to)))));
}

function read(text: string): Record<string, unknown> {
  const { faults, value } = parse(text);
  expect(faults).toEqual([]);
  return value as Record<string, unknown>;
}

function checkMade(edit: Edit, before: Definition, text: string): void {
  const after = readDefinition(text);
  const names = after.nodes.map((node) => node.name);
  const known = before.nodes.map((node) => node.name);
  // What is shown is what another reading of the text finds.
  const nodes = (read(text).nodes ?? {}) as Record<string, { needs?: unknown } | null>;
  // Keys that are numbers stand first there.
  expect(names.toSorted()).toEqual(Object.keys(nodes).toSorted());
  for (const node of after.nodes) {
    const needs = nodes[node.name]?.needs;
    expect(node.needs).toEqual(Array.isArray(needs) ? needs.filter((one) => typeof one === "string") : []);
  }
  const edges = (shown: Definition) => edgesOf(shown).map(({ source, target }) => `${source}>${target}`);
  switch (edit.is) {
    case "add":
      expect(names).toEqual([...known, edit.name]);
      break;
    case "remove":
      expect(names).toEqual(known.filter((name) => !edit.names.includes(name)));
      expect(edges(after)).toEqual(edges(before).filter((edge) => edge.split(">").every((name) => !edit.names.includes(name))));
      break;
    case "rename": {
      const renamed = (name: string) => (name === edit.name ? edit.to : name);
      expect(names).toEqual(known.map(renamed));
      const kept = edges(before).map((edge) => edge.split(">").map(renamed).join(">"));
      expect(edges(after)).toEqual(expect.arrayContaining(kept));
      // Others may have named it before there was one of that name.
      expect(edges(after).filter((edge) => !edge.startsWith(`${edit.to}>`) && !kept.includes(edge))).toEqual([]);
      break;
    }
    case "connect":
      expect(edges(after)).toContain(`${edit.source}>${edit.target}`);
      break;
    case "disconnect":
      expect(after.nodes.find((node) => node.name === edit.target)?.needs).not.toContain(edit.source);
      break;
    case "set":
      expect(names).toEqual(known);
  }
}

describe("canvas and text are one", () => {
  test("what is drawn to a node that says nothing yet stands in it; to what is no node it is refused", () => {
    const drawn = (second: string) => {
      const state = EditorState.create({ doc: `nodes:\n  first: {type: t}\n  second:${second}\n` });
      const transaction = transactionOf(state, { is: "connect", source: "first", target: "second" });
      return transaction && edgesOf(readDefinition(state.update(transaction).state.doc.toString()));
    };
    for (const blank of ["", " null", " {}", " ~"]) expect(drawn(blank)).toEqual([{ source: "first", target: "second", isNamed: true }]);
    for (const other of [" 5", " text", " [a, b]"]) expect(drawn(other)).toBeNull();
  });

  test("a node that says nothing is added and taken out like any other", () => {
    const made = (text: string, edit: Edit) => {
      const state = EditorState.create({ doc: text });
      const transaction = transactionOf(state, edit);
      return transaction && readDefinition(state.update(transaction).state.doc.toString()).nodes.map((node) => node.name);
    };
    for (const blank of ["", " null", " {}"]) {
      expect(made(`nodes:\n  first: {type: t}\n  second:${blank}\n`, { is: "remove", names: ["second"] })).toEqual(["first"]);
    }
    expect(made("nodes:\n  first: {type: t}\n", { is: "add", name: "second", fields: {} })).toEqual(["first", "second"]);
  });

  test(`${EDITS} random edits on both sides: no drift, no comment lost, undo returns to the byte`, () => {
    let made = 0;
    let refused = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: SEQUENCE, maxLength: SEQUENCE }), (steps) => {
        let state = EditorState.create({ doc: DAG, extensions: [unlimitedHistory] });
        const texts = [DAG];
        for (const [number, one] of steps.entries()) {
          const text = state.doc.toString();
          const shown = readDefinition(text);
          const edit = editOf(one, shown);
          if (edit === null) {
            const change = typed(one, text, number);
            state = state.update({ changes: change, annotations: isolateHistory.of("full") }).state;
            // Who breaks the text mends it sooner or later.
            const isMended = one[3] % 4 > 0;
            while (isMended && undoDepth(state) > 0 && !readDefinition(state.doc.toString()).isRead) undo({ state, dispatch: (done) => (state = done.state) });
          } else {
            const transaction = transactionOf(state, edit);
            if (transaction === null) {
              if (shown.isRead) refused += 1;
              continue;
            }
            expect(shown.isRead).toBe(true);
            state = state.update(transaction).state;
            made += 1;
            const after = state.doc.toString();
            checkMade(edit, shown, after);
            const gone = goneWith(edit, shown, text);
            const kept = new Set(commentsOf(after));
            expect(commentsOf(text).filter((comment) => !kept.has(comment) && !gone.has(comment))).toEqual([]);
          }
          if (undoDepth(state) >= texts.length) texts.push(state.doc.toString());
          else texts.length = undoDepth(state) + 1;
          expect(texts.at(-1), `step ${number}`).toBe(state.doc.toString());
        }
        const last = state.doc.toString();
        expect(undoDepth(state)).toBe(texts.length - 1);
        for (const text of texts.slice(0, -1).toReversed()) {
          undo({ state, dispatch: (done) => (state = done.state) });
          expect(state.doc.toString()).toBe(text);
        }
        expect(state.doc.toString()).toBe(DAG);
        for (const text of texts.slice(1)) {
          redo({ state, dispatch: (done) => (state = done.state) });
          expect(state.doc.toString()).toBe(text);
        }
        expect(state.doc.toString()).toBe(last);
      }),
      { numRuns: Math.ceil(EDITS / SEQUENCE), ...(SEED === undefined ? {} : { seed: Number(SEED) }), endOnFailure: true },
    );
    console.log(`${made} edits on the canvas, ${refused} refused`);
    expect(made).toBeGreaterThan(EDITS / 4);
    expect(refused).toBeLessThan(3 + (made + refused) / 50);
  }, 600_000);
});
