import { useTexts } from "../../i18n/catalogue";
import { useFormat } from "../../i18n/format";
import { type Member, conditionOf, fullness, linesOf } from "./fleet";
import { workersTexts } from "./texts";

/** How full each worker is, as a heat map: a line for each pool on a host. */
export function Slots({ members }: { members: readonly Member[] }) {
  const t = useTexts(workersTexts);
  const format = useFormat();
  const nameOf = (member: Member) =>
    t.square(member.process_id, format.number(member.slots_used), format.number(member.slots), t[conditionOf(member)]);
  return (
    <section className="part" aria-labelledby="workers-slots">
      <h2 id="workers-slots">{t.slotsOf}</h2>
      <p className="part-help">{t.slotsHelp}</p>
      <dl className="slots">
        {linesOf(members).map((line) => (
          <div key={line.key} className="slots-line">
            <dt>
              {line.host}, {line.pool === null ? t.allPools(line.backend ?? "–") : t.pool(line.pool, line.backend ?? "–")}
            </dt>
            <dd>
              {line.members.map((member) => (
                <span
                  key={member.process_id}
                  role="img"
                  className={`slot slot-${String(fullness(member))} slot-is-${conditionOf(member)}`}
                  aria-label={nameOf(member)}
                  title={nameOf(member)}
                />
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
