import type { components } from "../../api/schema";
import { Moment } from "../../components/Moment";
import { visible } from "../../components/visible";
import { useTexts } from "../../i18n/catalogue";
import { migrationTexts } from "./texts";

/** Changes of effective routing, newest first. */
export function Ledger({ flips }: { flips: readonly components["schemas"]["Flip"][] }) {
  const t = useTexts(migrationTexts);
  return (
    <section className="ledger" aria-labelledby="ledger">
      <h2 id="ledger">{t.ledger}</h2>
      <table className="table">
        <thead>
          <tr>
            <th scope="col">{t.when}</th>
            <th scope="col">{t.what}</th>
            <th scope="col">{t.change}</th>
            <th scope="col">{t.why}</th>
            <th scope="col">{t.who}</th>
          </tr>
        </thead>
        <tbody>
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
        </tbody>
      </table>
    </section>
  );
}
