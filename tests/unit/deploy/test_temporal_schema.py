"""Temporal's schema without the extension that the packaged PostgreSQL lacks."""

from __future__ import annotations

from pathlib import Path

from deploy.local.temporal_schema import without_extension

ORIGINAL = """DO LANGUAGE 'plpgsql' $$
    BEGIN
        IF ( NOT EXISTS (select extname from pg_extension where extname = 'btree_gin') ) THEN
            CREATE EXTENSION btree_gin;
        END IF;
    END
$$;
CREATE FUNCTION kept() RETURNS int AS $$ SELECT 1 $$ LANGUAGE sql;
CREATE INDEX a ON t USING GIN (namespace_id, Text01);
CREATE INDEX b ON t
USING GIN (namespace_id, List jsonb_path_ops);
CREATE INDEX c ON t (namespace_id, Start);
"""

CHANGED = """
CREATE FUNCTION kept() RETURNS int AS $$ SELECT 1 $$ LANGUAGE sql;
CREATE INDEX a ON t USING GIN (Text01);
CREATE INDEX b ON t
USING GIN (List jsonb_path_ops);
CREATE INDEX c ON t (namespace_id, Start);
"""


def test_only_the_extension_and_what_needs_it_are_left_out(tmp_path: Path) -> None:
    version = tmp_path / "versioned" / "v1.2"
    version.mkdir(parents=True)
    (version / "a.sql").write_text(ORIGINAL)
    (version / "manifest.json").write_text("{}")
    without_extension(tmp_path / "versioned", tmp_path / "copy")
    assert (tmp_path / "copy" / "v1.2" / "a.sql").read_text() == CHANGED
    assert (tmp_path / "copy" / "v1.2" / "manifest.json").read_text() == "{}"
    assert (version / "a.sql").read_text() == ORIGINAL
