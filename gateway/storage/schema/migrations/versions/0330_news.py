"""Pages are told that something of a kind has changed, instead of asking again and again."""

from gateway.storage.schema.statements import run_file

revision = "0330_news"
down_revision = "0320_worker_drain"


def upgrade() -> None:
    run_file("0330_news.sql")
