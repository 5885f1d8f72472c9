import { answers, asked, askedFor, json, problem, session } from "./support/gateway";
import { find, open, press } from "./support/page";
import { until } from "./support/until";
import { afterEach, beforeEach, expect, test } from "vitest";
import { api } from "../src/api/client";
import { sessionState } from "../src/api/session";
import { ScheduleActions } from "../src/pages/schedule/ScheduleActions";
import { Navigation } from "../src/shell/Navigation";

const RUN = "POST /gateway/v1/schedules/s/run";

let close: () => void = () => undefined;
beforeEach(() => sessionState.set({ is: "signed in", session: session("t", { permitted: ["read", "schedule"] }) }));
afterEach(() => {
  close();
  asked.length = 0;
});

test("what is pressed twice is done once", async () => {
  let answer: (response: Response) => void = () => undefined;
  answers.set(RUN, () => new Promise<Response>((resolve) => (answer = resolve)));
  ({ close } = open(() => <ScheduleActions schedule={{ schedule_id: "s", paused: false, timezone: "UTC", tenant_id: "acme", project_id: null } as never} done={() => undefined} />));
  const button = await find<HTMLButtonElement>("button", "Run now");
  button.click();
  await until(() => expect(askedFor(RUN)).toHaveLength(1));
  button.click();
  // What was asked for before this has been sent.
  answers.set(RUN.replace("/s/", "/other/"), () => json({}));
  await api.POST("/gateway/v1/schedules/{schedule_id}/run", { params: { path: { schedule_id: "other" } } });
  expect(askedFor(RUN)).toHaveLength(1);
  answer(json({}));
  await until(() => {
    button.click();
    expect(askedFor(RUN)).toHaveLength(2);
  });
});

test("a sign-out that does not come through is said", async () => {
  answers.set("DELETE /gateway/v1/session", () => problem(503, "database_unavailable", "The database is away."));
  ({ close } = open(Navigation));
  await press("Signed in as ann");
  (await find("[role=menuitem]", "Sign out")).click();
  await find("[role=alert]", "The database is away.");
});
