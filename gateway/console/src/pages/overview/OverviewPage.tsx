import { useQuery } from "@tanstack/react-query";
import { api, dataOf } from "../../api/client";
import { may, useSession } from "../../api/session";
import { Empty } from "../../components/Empty";
import { Failure } from "../../components/Failure";
import { PageHead } from "../../components/PageHead";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { isNews } from "../../streams/isNews";
import { useAtMost } from "../../streams/useAtMost";
import { SOONEST, type Topic, useNews } from "../../streams/useNews";
import { useReadAgain } from "../../streams/useReadAgain";
import { useStream } from "../../streams/useStream";
import { Concerns } from "./Concerns";
import { Flows } from "./Flows";
import { overviewTexts } from "./texts";
import "../../components/Part.css";
import "./overview.css";

const KEY = ["overview"];
/** What ended in the last minutes, for how long the oldest waits and whether engines answer change by time alone: they are looked at
 * so often (milliseconds). */
const REFRESH = 15_000;
/** What concerns are about. */
const OF_TENANTS: readonly Topic[] = ["pause", "dead_letter"];
const OF_ALL: readonly Topic[] = [...OF_TENANTS, "guardrail", "plan", "stage", "worker"];

/** How tasks flow, and what needs attention first. */
export default function OverviewPage() {
  const t = useTexts(overviewTexts);
  const format = useFormat();
  const found = useQuery({
    queryKey: KEY,
    gcTime: 0,
    refetchInterval: REFRESH,
    queryFn: ({ signal }) => dataOf(api.GET("/gateway/v1/overview", { signal })),
  });
  const readAgain = useAtMost(SOONEST, useReadAgain(KEY));
  useNews(may(useSession(), "observe") ? OF_ALL : OF_TENANTS, readAgain);
  useStream(
    "gateway/v1/tasks/stream",
    (event) => {
      if (isNews(event)) readAgain();
    },
    readAgain,
  );
  const data = found.data;
  const isEmpty = data?.flows.every((flow) => flow.waiting + flow.later + flow.held + flow.running + flow.completed + flow.failed + flow.stopped + flow.dead === 0);
  return (
    <>
      <PageHead title={t.title} />
      {found.isError && <Failure error={found.error} retry={() => void found.refetch()} />}
      {data !== undefined && (
        <>
          <Concerns concerns={data.concerns} seconds={data.window_seconds} />
          {isEmpty === true ? (
            <Empty title={t.none}>
              <p>{t.noneHelp}</p>
            </Empty>
          ) : (
            <Flows flows={data.flows} most={data.most} seconds={data.window_seconds} />
          )}
          <p className="part-help">{t.figures(format.clock(new Date(data.at)))}</p>
        </>
      )}
    </>
  );
}
