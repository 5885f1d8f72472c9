import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { api, dataOf } from "../../api/client";
import { may, useSession } from "../../api/session";
import { Button } from "../../components/Button";
import { Confirm } from "../../components/Confirm";
import { Empty } from "../../components/Empty";
import { Failure } from "../../components/Failure";
import { Moment } from "../../components/Moment";
import { PageHead } from "../../components/PageHead";
import { Status } from "../../components/Status";
import { Table } from "../../components/Table";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { isNews } from "../../streams/isNews";
import { useAtMost } from "../../streams/useAtMost";
import { SOONEST, useNews } from "../../streams/useNews";
import { useReadAgain } from "../../streams/useReadAgain";
import { useStream } from "../../streams/useStream";
import { Opened } from "./Opened";
import { Slots } from "./Slots";
import { type Member, TONES, conditionOf, hostOf, isThere } from "./fleet";
import { workersTexts } from "./texts";
import "../../components/Part.css";
import "./workers.css";

/** A worker's sign of life is no change, and its silence is nobody's news: both are looked at so often (milliseconds). */
const REFRESH = 15_000;
const MOST = 1000;

interface Search {
  gone?: unknown;
  worker?: unknown;
}

/** The fleet by pool and host; what is open stands in the address. */
export default function WorkersPage() {
  const t = useTexts(workersTexts);
  const format = useFormat();
  const navigate = useNavigate();
  const search: Search = useSearch({ strict: false });
  const gone = search.gone === true;
  const opened = typeof search.worker === "string" ? search.worker : null;
  const key = ["workers", gone];
  const found = useQuery({
    queryKey: key,
    gcTime: 0,
    refetchInterval: REFRESH,
    queryFn: async ({ signal }) => (await dataOf(api.GET("/gateway/v1/workers", { params: { query: { gone, limit: MOST } }, signal }))).workers,
  });
  const again = useReadAgain(key);
  const readAgain = useAtMost(SOONEST, again);
  useNews(["worker"], again);
  useStream(
    "gateway/v1/tasks/stream",
    (event) => {
      if (isNews(event)) readAgain();
    },
    readAgain,
  );
  const go = (next: Search) => void navigate({ to: "/workers", search: { ...search, ...next } });
  const members = found.data ?? [];
  const there = members.filter(isThere);
  const sum = (name: "slots" | "slots_used") => format.number(there.reduce((total, member) => total + member[name], 0));
  return (
    <>
      <PageHead title={t.title}>
        <Button aria-pressed={gone} onPress={() => go({ gone: gone ? undefined : true })}>
          {t.gone}
        </Button>
      </PageHead>
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {found.data !== undefined && members.length === 0 && (
        <Empty title={t.none}>
          <p>{t.noneHelp}</p>
        </Empty>
      )}
      {members.length > 0 && (
        <>
          <p>{t.summary(format.number(there.length), format.number(new Set(there.map(hostOf)).size), sum("slots_used"), sum("slots"))}</p>
          {there.length > 0 && <Slots members={there} />}
          {opened !== null && <Opened key={opened} id={opened} asked={found.dataUpdatedAt} close={() => go({ worker: undefined })} />}
          <div className="workers-table" role="group" aria-label={t.title} tabIndex={0}>
            <Workers members={members} search={search} changed={again} />
          </div>
          {members.length >= MOST && <p role="status">{t.cut(format.number(MOST))}</p>}
        </>
      )}
      {found.dataUpdatedAt > 0 && <p className="part-help">{t.asOf(format.clock(new Date(found.dataUpdatedAt)))}</p>}
    </>
  );
}

function Workers({ members, search, changed }: { members: readonly Member[]; search: Search; changed: () => void }) {
  const t = useTexts(workersTexts);
  const format = useFormat();
  const drains = may(useSession(), "operate");
  return (
    <Table columns={[t.worker, t.poolName, t.backend, t.host, t.process, t.version, t.slots, t.state, t.seen, t.up, ...(drains ? [t.actions] : [])]} label={t.title}>
      {members.map((member) => {
        const condition = conditionOf(member);
        return (
          <tr key={member.process_id}>
            <th scope="row">
              <Link to="/workers" search={{ ...search, worker: member.process_id }} aria-label={t.open(member.process_id)}>
                {member.process_id}
              </Link>
            </th>
            <td>{member.pool ?? t.all}</td>
            <td className={member.backend === null ? undefined : `worker-${member.backend}`}>{member.backend ?? "–"}</td>
            <td title={member.host}>{hostOf(member)}</td>
            <td>{member.pid}</td>
            <td>{member.version}</td>
            <td>{t.used(format.number(member.slots_used), format.number(member.slots))}</td>
            <td>
              <Status tone={TONES[condition]}>{t[condition]}</Status>
              {member.drain_at !== null && (
                <p className="part-help" dir="auto">
                  {t.drained(member.drain_by ?? "–", visible(member.drain_why ?? "–"))}
                </p>
              )}
            </td>
            <td>{member.last_seen === null ? "–" : <Moment at={member.last_seen} />}</td>
            <td>
              <Moment at={member.started_at} />
            </td>
            {drains && (
              <td>
                {isThere(member) && member.drain_at === null && (
                  <Confirm
                    label={t.drain}
                    about={member.process_id}
                    ask={t.drainAsk(member.process_id)}
                    leave={t.leave}
                    why={t.why}
                    isWhyRequired
                    confirm={async (why) => {
                      await api.POST("/gateway/v1/workers/{process_id}/drain", { params: { path: { process_id: member.process_id } }, body: { why } });
                      changed();
                    }}
                  >
                    <p>{t.drainHelp}</p>
                  </Confirm>
                )}
              </td>
            )}
          </tr>
        );
      })}
    </Table>
  );
}
