/** DAGs to begin with. The episode DAG is the gateway's own, and comes from there. */
export const TEMPLATES = ["empty", "fan_out", "approval", "saga", "episode"] as const;
export type Template = (typeof TEMPLATES)[number];

/** Task types that every worker has, so that each can be checked and run as it is. */
const TEXTS: Record<Exclude<Template, "episode">, string> = {
  empty: `nodes: {}
`,
  fan_out: `# One task for each item, at most ten at once; then one for all results.
params:
  items:
    type: list
    description: What to work on
nodes:
  each:
    type: add_episode
    for_each: params.items
    max_parallel: 10
    input:
      content: \${ item }
    # An item that fails does not stop the others.
    on_failure: continue
  gather:
    type: rebuild_communities
    needs: [each]
    when: nodes.each.failed < size(params.items)
outputs:
  failed: \${ nodes.each.failed }
`,
  approval: `# Somebody decides before it goes on; after a day without an answer the run fails.
params:
  content: {type: string}
nodes:
  prepare:
    type: add_episode
    input:
      content: \${ params.content }
  decide:
    approval:
      message: Is this to be published?
      timeout_seconds: 86400
    needs: [prepare]
  publish:
    type: rebuild_communities
    needs: [decide]
`,
  saga: `# When a later step fails, what was done is undone, the latest first.
params:
  content: {type: string}
nodes:
  reserve:
    type: add_episode
    input:
      content: \${ params.content }
    compensate:
      type: deduplicate_entities
  charge:
    type: add_episode
    needs: [reserve]
    input:
      content: \${ params.content }
    compensate:
      type: deduplicate_entities
    on_failure: compensate
  ship:
    type: rebuild_communities
    needs: [charge]
    retry: {attempts: 3, initial_seconds: 5}
    on_failure: compensate
`,
};

export function templateText(template: Exclude<Template, "episode">): string {
  return TEXTS[template];
}

export function isTemplate(value: unknown): value is Template {
  return TEMPLATES.some((one) => one === value);
}
