import { Problem } from "../api/problem";
import { catalogue, useTexts } from "../i18n/catalogue";
import { Button } from "./Button";
import "./Failure.css";

const texts = catalogue({
  en: {
    title: "This could not be done",
    unreachable: "The gateway does not answer. Nothing that you entered is lost; try again when it is back.",
    unforeseen: "The console made a mistake. Nothing was changed by it.",
    errorId: (id: string) => `Error id ${id}, for the gateway's log`,
    retry: "Try again",
  },
  zh: {
    title: "操作未能完成",
    unreachable: "网关没有响应。您输入的内容没有丢失；请在网关恢复后重试。",
    unforeseen: "控制台内部出错，没有做任何更改。",
    errorId: (id: string) => `错误编号 ${id}，可在网关日志中查找`,
    retry: "重试",
  },
});

/** Says what happened, and what was kept. */
export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const t = useTexts(texts);
  const problem = error instanceof Problem ? error : null;
  const detail = problem === null ? t.unforeseen : problem.code === "unreachable" ? t.unreachable : problem.detail;
  return (
    <div className="failure" role="alert">
      <h2>{t.title}</h2>
      <p>{detail}</p>
      {problem?.errorId !== undefined && <p className="failure-id">{t.errorId(problem.errorId)}</p>}
      {retry !== undefined && <Button onPress={retry}>{t.retry}</Button>}
    </div>
  );
}
