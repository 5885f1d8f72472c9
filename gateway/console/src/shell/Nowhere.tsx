import { Link } from "@tanstack/react-router";
import { Empty } from "../components/Empty";
import { useTexts } from "../i18n/catalogue";
import { shellTexts } from "./texts";

/** For an address without a page. */
export function Nowhere() {
  const t = useTexts(shellTexts);
  return (
    <Empty title={t.nowhere}>
      <p>{t.nowhereHelp}</p>
      <Link to="/">{t.toStart}</Link>
    </Empty>
  );
}
