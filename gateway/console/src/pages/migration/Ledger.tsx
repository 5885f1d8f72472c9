import type { components } from "../../api/schema";
import { Moment } from "../../components/Moment";
import { Table } from "../../components/Table";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { migrationTexts } from "./texts";

/** Changes of effective routing, newest first. */
export function Ledger({ flips }: { flips: readonly components["schemas"]["Flip"][] }) {
  const t = useTexts(migrationTexts);
  return (
    <section className="ledger" aria-labelledby="ledger">
      <h2 id="ledger">{t.ledger}</h2>
      <Table columns={[t.when, t.what, t.change, t.why, t.who]} labelledBy="ledger">
        {flips.map((flip) => (
          <tr key={flip.id}>
            <td>
              <Moment at={flip.at} />
            </td>
            <td>{flip.scope}</td>
            <td>
              {flip.before ?? t.nobody} → {flip.after ?? t.nobody}
            </td>
            <td dir="auto">{visible(flip.why)}</td>
            <td>{flip.who ?? flip.source}</td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
