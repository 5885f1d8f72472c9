"""What is known of the schema's revisions without alembic is what alembic finds."""

from __future__ import annotations

from alembic.config import Config
from alembic.script import ScriptDirectory

from gateway.storage.schema.revisions import known_revisions


def test_names_of_modules_are_the_revisions_in_their_order() -> None:
    config = Config()
    config.set_main_option("script_location", "gateway.storage.schema:migrations")
    found = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()]
    assert list(known_revisions()) == found[::-1]
