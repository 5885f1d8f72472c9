import { Link, useParams } from "@tanstack/react-router";
import { PageHead } from "../../components/PageHead";
import { useTexts } from "../../i18n/catalogue";
import { Drain } from "./Drain";
import { Guardrail } from "./Guardrail";
import { Parity } from "./Parity";
import { tenantMigrationTexts } from "./texts";
import "./tenantMigration.css";

export default function TenantMigrationPage() {
  const t = useTexts(tenantMigrationTexts);
  const { tenantId }: { tenantId: string } = useParams({ strict: false });
  return (
    <>
      <p>
        <Link to="/migration">{t.board}</Link>
      </p>
      <PageHead title={tenantId} />
      <Guardrail key={`guardrail ${tenantId}`} tenantId={tenantId} />
      <Parity key={`parity ${tenantId}`} tenantId={tenantId} />
      <Drain key={`drain ${tenantId}`} tenantId={tenantId} />
    </>
  );
}
