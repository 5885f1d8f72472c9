"""How taskgate is deployed: the embedded stack (`deploy.local`), containers, charts, dashboards."""
