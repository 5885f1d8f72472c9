"""Which store holds the flag, by the settings."""

from __future__ import annotations

from gateway.migration.flags.launchdarkly_api import LaunchDarklyApi
from gateway.migration.flags.launchdarkly_store import LaunchDarklyStore, ReadOnlyStore
from gateway.migration.flags.store import FileStore, FlagStore, TableStore
from gateway.routing.flag_file import FlagFile
from gateway.routing.flags import FlagSource
from gateway.settings import Settings
from gateway.storage.database import Database


def build_store(settings: Settings, database: Database, flags: FlagSource, *, unrecorded: bool = False) -> FlagStore:
    """`unrecorded`: a file may be changed while the database is away."""
    match settings.flag_owner:
        case "launchdarkly":
            api = build_api(settings)
            return ReadOnlyStore(flags) if api is None else LaunchDarklyStore(database, api, settings.flag_key)
        case "file":
            assert settings.flags_file is not None  # the settings see to it
            return FileStore(database, FlagFile(settings.flags_file, settings.flag_key), unrecorded=unrecorded)
        case _:
            return TableStore(database, settings.flag_key)


def build_api(settings: Settings) -> LaunchDarklyApi | None:
    """LaunchDarkly's REST API, with a token for it; None: there is none, or the flag is elsewhere."""
    if settings.launchdarkly_api_token is None or settings.flag_owner != "launchdarkly":
        return None
    return LaunchDarklyApi(
        settings.launchdarkly_api_url,
        settings.follow("launchdarkly_api_token"),
        project=settings.launchdarkly_project,
        environment=settings.launchdarkly_environment,
        flag_key=settings.flag_key,
    )
