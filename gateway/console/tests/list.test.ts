import { expect, test } from "vitest";
import { type Page, type TaskFacts, TaskList } from "../src/pages/tasks/list";

/** A task that was created so many seconds after the first. */
function task(number: number, state: TaskFacts["state"] = "waiting"): TaskFacts {
  const at = new Date(Date.UTC(2026, 0, 1) + number * 1000).toISOString();
  return { task_id: `t${String(number).padStart(4, "0")}`, created_at: at, state } as TaskFacts;
}

/** Serves tasks newest first, in pages; each answer waits until it is let go. */
function served(tasks: TaskFacts[]) {
  const waiting: (() => void)[] = [];
  const read = (limit: number, cursor: string | null) =>
    new Promise<Page>((resolve) => {
      const start = cursor === null ? 0 : Number(cursor);
      // What an answer says was so when it was asked for.
      const page = tasks.slice(start, start + limit);
      const next = start + limit < tasks.length ? String(start + limit) : null;
      waiting.push(() => resolve({ tasks: page, next_cursor: next }));
    });
  const list = new TaskList(read);
  const answer = async () => {
    waiting.shift()?.();
    await new Promise((resolve) => setTimeout(resolve));
  };
  const shown = () => list.state.get().rows.map((row) => `${row.task_id} ${row.state}`);
  return { list, answer, shown };
}

test("what is told while an answer is under way is newer than the answer", async () => {
  const { list, answer, shown } = served([task(2), task(1)]);
  void list.reload();
  list.tell([task(3), task(1, "running")], ["t0002"]);
  expect(list.state.get().isRead).toBe(false);
  await answer();
  expect(shown()).toEqual(["t0003 waiting", "t0001 running"]);
});

test("new tasks stand in their place, and others leave", async () => {
  const { list, answer, shown } = served([task(4), task(2)]);
  void list.reload();
  await answer();
  list.tell([task(3), task(5)], []);
  expect(shown().map((row) => row.slice(0, 5))).toEqual(["t0005", "t0004", "t0003", "t0002"]);
  list.tell([], ["t0004", "unknown"]);
  expect(shown().map((row) => row.slice(0, 5))).toEqual(["t0005", "t0003", "t0002"]);
});

test("a task that is older than the last row comes when the reader gets there", async () => {
  const { list, answer, shown } = served(Array.from({ length: 150 }, (_, at) => task(1000 - at)));
  void list.reload();
  await answer();
  list.tell([task(1, "running")], []);
  expect(shown()).toHaveLength(100);
  void list.more();
  await answer();
  expect(shown()).toHaveLength(150);
  expect(list.state.get().hasMore).toBe(false);
});

test("a list that is left open does not grow, and nothing is missing below", async () => {
  const tasks = Array.from({ length: 120 }, (_, at) => task(120 - at));
  const { list, answer, shown } = served(tasks);
  void list.reload();
  await answer();
  for (let number = 121; number <= 400; number += 1) {
    tasks.unshift(task(number));
    list.tell([task(number)], []);
  }
  expect(shown()).toHaveLength(100);
  expect(shown()[0]).toBe("t0400 waiting");
  void list.more();
  await answer();
  expect(shown()).toHaveLength(200);
  expect(shown().at(-1)).toBe("t0201 waiting");
});

test("an answer that was overtaken by a newer reading is not shown", async () => {
  const tasks = [task(1)];
  const { list, answer, shown } = served(tasks);
  void list.reload();
  tasks[0] = task(1, "completed");
  void list.reload();
  await answer();
  await answer();
  expect(shown()).toEqual(["t0001 completed"]);
});

test("a failure is not repeated until somebody tries again", async () => {
  let asked = 0;
  const list = new TaskList((limit) => {
    asked += 1;
    if (asked === 2) return Promise.reject(new Error("away"));
    const tasks = Array.from({ length: limit }, (_, at) => task(500 - at));
    return Promise.resolve({ tasks, next_cursor: "x" });
  });
  await list.reload();
  await list.more();
  expect(list.state.get().error).toEqual(new Error("away"));
  await list.more();
  expect(asked).toBe(2);
  await list.reload();
  expect(list.state.get().error).toBe(null);
  expect(list.state.get().rows).toHaveLength(200);
});
