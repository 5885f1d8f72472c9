import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useEffect, useEffectEvent, useState } from "react";
import { api, dataOf } from "../../api/client";
import { may, useSession } from "../../api/session";
import { Confirm } from "../../components/Confirm";
import { Detail } from "../../components/Detail";
import { Failure } from "../../components/Failure";
import { Moment } from "../../components/Moment";
import { PagedTable } from "../../components/PagedTable";
import { useAct } from "../../components/useAct";
import { visible } from "../../components/visible";
import { shortId } from "../../components/shortId";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { useReadAgain } from "../../streams/useReadAgain";
import { RedriveDialog } from "./RedriveDialog";
import { type DeadLetterGroup, type GroupKey, filterOf, textOf, until } from "./groups";
import { deadLettersTexts } from "./texts";

/** Of one step of a purge. */
const STEP = 1000;
const MOST_CHOSEN = 1000;

interface OpenedGroupProps {
  group: GroupKey;
  /** As the list of groups has it; undefined: nothing of it is left. */
  shown: DeadLetterGroup | undefined;
  /** Only those with this text in their error. */
  error: string;
  /** Another number when something may have changed. */
  news: number;
  close: () => void;
  /** A redrive was begun. */
  begun: (operationId: string) => void;
  changed: () => void;
}

/** The dead letters of a group, and what can be done with all or some of them. */
export function OpenedGroup({ group, shown, error, news, close, begun, changed }: OpenedGroupProps) {
  const t = useTexts(deadLettersTexts);
  const format = useFormat();
  const session = useSession();
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [purged, setPurged] = useState<{ count: number; isOver: boolean } | null>(null);
  const key = ["dead letters", error, textOf(group)];
  const found = useInfiniteQuery({
    queryKey: key,
    gcTime: 0,
    initialPageParam: null as string | null,
    queryFn: ({ pageParam, signal }) =>
      dataOf(
        api.GET("/gateway/v1/dead-letters", {
          params: { query: { ...filterOf(group, error), ...(pageParam === null ? {} : { cursor: pageParam }) } },
          signal,
        }),
      ),
    getNextPageParam: (page) => page.next_cursor,
  });
  const readAgain = useReadAgain(key);
  const read = useEffectEvent(readAgain);
  useEffect(() => {
    if (news > 0) read();
  }, [news]);
  const done = () => {
    readAgain();
    changed();
  };
  const { act, error: refused } = useAct(done);
  const letters = found.data?.pages.flatMap((page) => page.dead_letters) ?? [];
  // Those that are chosen, also if they are not seen (any more): what is left of them never becomes the whole group.
  const now = {
    isAll: chosen.size === 0,
    count: format.number(chosen.size === 0 ? (shown?.letters ?? 0) : chosen.size),
    which:
      chosen.size > 0
        ? { ids: [...chosen], untyped: false, state: "open" as const }
        : { ...filterOf(group, error), ...(shown === undefined ? {} : { died_before: until(shown.newest_at) }) },
  };
  // As it was when the dialog was opened: it does not change under the reader's hand, and what dies after that stays.
  const [asked, setAsked] = useState(now);
  const ask = () => setAsked(now);
  const redriveText = ({ isAll, count }: typeof now) => (isAll ? t.redriveGroup(count) : t.redriveChosen(count));
  const purgeText = ({ isAll, count }: typeof now) => (isAll ? t.purgeGroup(count) : t.purgeChosen(count));
  const isAny = chosen.size > 0 || (shown?.letters ?? 0) > 0;
  const name = group.error_type ?? t.untyped;

  const purge = async () => {
    const { which } = asked;
    let cursor: string | null = null;
    let sum = 0;
    setPurged({ count: 0, isOver: false });
    try {
      do {
        const step: { removed: number; next_cursor: string | null } = await dataOf(
          api.POST("/gateway/v1/dead-letters/purge", { body: { filter: which, limit: STEP, cursor, dry_run: false } }),
        );
        sum += step.removed;
        cursor = step.next_cursor;
        setPurged({ count: sum, isOver: cursor === null });
      } while (cursor !== null);
    } catch (problem) {
      setPurged({ count: sum, isOver: true });
      throw problem;
    }
    setChosen(new Set());
  };

  return (
    <Detail
      className="part"
      title={`${t.opened(visible(name))} (${t[group.reason]})`}
      actions={
        <>
          {isAny && may(session, "redrive") && (
            <RedriveDialog
              label={redriveText(now)}
              sure={redriveText(asked)}
              which={asked.which}
              opened={ask}
              begun={(id) => {
                setChosen(new Set());
                begun(id);
              }}
            />
          )}
          {isAny && may(session, "purge") && (
            <Confirm label={purgeText(now)} sure={purgeText(asked)} ask={t.purgeAsk} leave={t.cancel} opened={ask} confirm={() => act(purge)}>
              <p>{t.purgeHelp(asked.count)}</p>
            </Confirm>
          )}
        </>
      }
      closeText={t.close}
      close={close}
    >
      {purged !== null && <p role="status">{purged.isOver ? t.purged(format.number(purged.count)) : t.purging(format.number(purged.count))}</p>}
      {refused !== null && <Failure error={refused} />}
      <PagedTable
        pages={found}
        label={t.opened(name)}
        columns={[t.chosen(format.number(chosen.size)), t.task, t.tenant, t.attempts, t.died, t.error]}
        none={t.none}
        noneHelp={t.noneHelp}
        more={t.more}
      >
        {letters.map((letter) => (
          <tr key={letter.id}>
            <td>
              <input
                type="checkbox"
                aria-label={t.choose(shortId(letter.id))}
                checked={chosen.has(letter.id)}
                disabled={!chosen.has(letter.id) && chosen.size >= MOST_CHOSEN}
                onChange={(event) => {
                  const next = new Set(chosen);
                  if (event.target.checked) next.add(letter.id);
                  else next.delete(letter.id);
                  setChosen(next);
                }}
              />
            </td>
            <td>
              {letter.task_id === null ? (
                <code>{shortId(letter.id)}</code>
              ) : (
                <Link to="/tasks/$taskId" params={{ taskId: letter.task_id }} preload={false}>
                  {letter.type} <code>{shortId(letter.task_id)}</code>
                </Link>
              )}
            </td>
            <td>{letter.tenant_id ?? "–"}</td>
            <td>{format.number(letter.attempts)}</td>
            <td>
              <Moment at={letter.died_at} />
            </td>
            <td className="letters-error" dir="auto">
              {visible(letter.error ?? "–")}
            </td>
          </tr>
        ))}
      </PagedTable>
    </Detail>
  );
}
