let spare: Worker | null = null;

function made(): Worker {
  return new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
}

/** Starts what lays out while the graph is still read. */
export function prepareLayout(): void {
  spare ??= made();
}

/** For one layout; who asks for it ends it. */
export function layoutWorker(): Worker {
  const worker = spare ?? made();
  spare = null;
  return worker;
}
