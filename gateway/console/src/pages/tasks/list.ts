import type { components } from "../../api/schema";
import { createStore } from "../../components/store";

export type TaskFacts = components["schemas"]["TaskFacts"];

export interface Page {
  tasks: TaskFacts[];
  next_cursor: string | null;
}

export interface TaskListState {
  rows: readonly TaskFacts[];
  /** The first answer is there. */
  isRead: boolean;
  /** There are older ones than these. */
  hasMore: boolean;
  error: unknown;
}

/** How many rows a page of the API has at most. */
const LARGEST_PAGE = 500;
const STEP = 100;

const EMPTY: TaskListState = { rows: [], isRead: false, hasMore: false, error: null };

function isBefore(one: TaskFacts, other: TaskFacts): boolean {
  const [first, second] = [Date.parse(one.created_at), Date.parse(other.created_at)];
  return first === second ? one.task_id > other.task_id : first > second;
}

/** Tasks, newest first: as they were read, with what the stream has told since then.
 *
 * What is told while an answer is under way is newer than the answer, and is put upon it; so no change is lost, whatever comes first.
 * A list that is left open does not grow: it keeps as many rows as the reader has asked for.
 */
export class TaskList {
  readonly state = createStore<TaskListState>(EMPTY);
  private wanted = STEP;
  private cursor: string | null = null;
  private heard: Map<string, TaskFacts | null> | undefined;
  private abort = new AbortController();

  constructor(private readonly read: (limit: number, cursor: string | null, signal: AbortSignal) => Promise<Page>) {}

  /** Read everything anew: at first, after a cut, and when the stream has missed something. */
  async reload(): Promise<void> {
    this.abort.abort();
    const abort = (this.abort = new AbortController());
    const heard = (this.heard = new Map<string, TaskFacts | null>());
    try {
      const rows: TaskFacts[] = [];
      let cursor: string | null = null;
      do {
        const page: Page = await this.read(Math.min(LARGEST_PAGE, this.wanted - rows.length), cursor, abort.signal);
        rows.push(...page.tasks);
        cursor = page.next_cursor;
      } while (cursor !== null && rows.length < this.wanted);
      this.cursor = cursor;
      this.show(rows, heard, cursor !== null);
    } catch (error) {
      if (!abort.signal.aborted) this.state.set({ ...this.state.get(), error });
    } finally {
      if (this.heard === heard) this.heard = undefined;
    }
  }

  /** The reader has come to the last rows. */
  async more(): Promise<void> {
    const { hasMore, error } = this.state.get();
    // After a failure the reader tries again, or the stream does when it is back.
    if (this.heard !== undefined || !hasMore || error !== null) return;
    this.wanted += STEP;
    if (this.cursor === null) {
      // Rows have been cut off since the answer that the cursor belonged to.
      await this.reload();
      return;
    }
    const abort = this.abort;
    const heard = (this.heard = new Map<string, TaskFacts | null>());
    try {
      const page = await this.read(STEP, this.cursor, abort.signal);
      if (abort.signal.aborted) return;
      this.cursor = page.next_cursor;
      this.show([...this.state.get().rows, ...page.tasks], heard, page.next_cursor !== null);
    } catch (error) {
      if (!abort.signal.aborted) this.state.set({ ...this.state.get(), error });
    } finally {
      if (this.heard === heard) this.heard = undefined;
    }
  }

  /** What the stream tells: tasks as they are now, and ids of those that do not belong here (any more). */
  tell(tasks: readonly TaskFacts[], others: readonly string[]): void {
    const changes = new Map<string, TaskFacts | null>(others.map((id) => [id, null]));
    for (const task of tasks) changes.set(task.task_id, task);
    for (const [id, task] of changes) this.heard?.set(id, task);
    const { rows, hasMore, isRead } = this.state.get();
    if (isRead) this.show(rows, changes, hasMore);
  }

  close(): void {
    this.abort.abort();
  }

  private show(read: readonly TaskFacts[], changes: ReadonlyMap<string, TaskFacts | null>, hasMore: boolean): void {
    const last = read.at(-1);
    const known = new Set<string>();
    const rows: TaskFacts[] = [];
    for (const row of read) {
      if (known.has(row.task_id)) continue;
      known.add(row.task_id);
      const change = changes.get(row.task_id);
      if (change !== null) rows.push(change ?? row);
    }
    for (const [id, task] of changes) {
      // An older one than the last comes when the reader gets there.
      if (task === null || known.has(id) || (hasMore && last !== undefined && isBefore(last, task))) continue;
      const place = rows.findIndex((row) => isBefore(task, row));
      rows.splice(place < 0 ? rows.length : place, 0, task);
    }
    const isCut = rows.length > this.wanted;
    if (isCut) {
      rows.length = this.wanted;
      this.cursor = null;
    }
    this.state.set({ rows, isRead: true, hasMore: hasMore || isCut, error: null });
  }
}
