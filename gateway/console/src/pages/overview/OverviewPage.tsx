import { useQuery } from "@tanstack/react-query";
import { api, dataOf } from "../../api/client";
import { Empty } from "../../components/Empty";
import { Failure } from "../../components/Failure";
import { PageHead } from "../../components/PageHead";
import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { isNews } from "../../streams/isNews";
import { useAtMost } from "../../streams/useAtMost";
import { useReadAgain } from "../../streams/useReadAgain";
import { useStream } from "../../streams/useStream";
import { Concerns } from "./Concerns";
import { Flows } from "./Flows";
import { overviewTexts } from "./texts";
import "../../components/Part.css";
import "../../components/Table.css";
import "./overview.css";

const KEY = ["overview"];
/** What no stream tells of is looked at so often; what one tells of, no more often than that (milliseconds). */
const REFRESH = 5000;
const SOONEST = 1000;

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
