/** A name that no other has yet, from what a node does. */
export function freshName(does: string, taken: ReadonlySet<string>): string {
  const last = does.split(/[.:]/).at(-1) ?? "";
  const stem = last.replace(/[^A-Za-z0-9_]/g, "_").replace(/^[^A-Za-z]+/, "").slice(0, 55) || "node";
  if (!taken.has(stem)) return stem;
  let number = 2;
  while (taken.has(`${stem}_${number}`)) number += 1;
  return `${stem}_${number}`;
}
