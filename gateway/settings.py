"""Every setting, typed, with its environment variable (`TASKGATE_` + the field's name) and default.

It is one class, and longer than other modules, so that one place answers which settings there are.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from difflib import get_close_matches
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from backends.port import RetryPolicy
from gateway.callbacks.ports import ports_of
from gateway.secret_files import Secret, SecretFile, text_of, why
from gateway.tasks.redaction import Redaction

if TYPE_CHECKING:
    from backends.temporal.encryption import EncryptionCodec
    from backends.temporal.security import Security

PREFIX = "TASKGATE_"
_URLS_WITH_PASSWORDS = frozenset({"database_url", "redis_url", "graph_url"})


class TenantRetention(BaseModel):
    """Days of one tenant; what is left out is everybody's."""

    model_config = ConfigDict(extra="forbid")

    task_days: float | None = Field(None, ge=1)
    task_log_days: float | None = Field(None, ge=1)
    schedule_history_days: float | None = Field(None, ge=1)


_WEB: Final = ("http", "https")
_SCHEMES: Final = {
    "database_url": ("postgresql", "postgres"),
    "redis_url": ("redis", "rediss", "unix"),
    "graph_url": ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc"),
    "upstream_url": _WEB,
    "llm_url": _WEB,
    "embedder_url": _WEB,
    "launchdarkly_base_url": _WEB,
    "launchdarkly_api_url": _WEB,
    "guardrail_webhook_url": _WEB,
}
#: What a driver takes for host and port.
_PLACE: Final = re.compile(r"(\[[^\[\]]+\]|[^\[\]:@]*)(?::(\d{0,5}))?")
_LOG_LEVELS: Final = tuple(logging.getLevelNamesMapping())


class Settings(BaseSettings):
    """Read once, in the composition root; passed on, never read again elsewhere."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")

    # Servers ------------------------------------------------------------------------------------------------
    database_url: str = Field(
        "postgresql://postgres@127.0.0.1:5432/memstack",
        description="PostgreSQL with `task_logs`; of several hosts (`a:5432,b:5432`) the one that takes writes",
    )
    database_pool_size: int = Field(10, ge=2, le=200, description="Connections of one process to PostgreSQL")
    redis_url: str | None = Field(None, description="Redis of the legacy queue; unset: no Redis backend")
    temporal_address: str | None = Field(None, description="Temporal front end, host:port; unset: no Temporal backend")
    temporal_namespace: str = Field("taskgate", description="Temporal namespace")
    temporal_tls: bool = Field(False, description="Connect to Temporal with TLS; implied by the settings below")
    temporal_tls_ca: Path | None = Field(
        None, description="PEM; authorities of Temporal's certificate; unset: those of the system"
    )
    temporal_tls_server_name: str | None = Field(
        None, description="The name in Temporal's certificate, if the address has another"
    )
    temporal_tls_certificate: Path | None = Field(
        None, description="PEM chain that we show to Temporal (mTLS); read again when it changes"
    )
    temporal_tls_key: Path | None = Field(None, description="PEM key for `temporal_tls_certificate`")
    temporal_api_key: SecretStr | None = Field(None, description="API key of Temporal Cloud, or of a proxy; needs TLS")
    temporal_codec_keys: SecretStr | None = Field(
        None,
        description="Keys that payloads are encrypted with on their way through Temporal, a line `<key id> <32 bytes in base64>` each; the first one encrypts, all decrypt; unset: not encrypted",
    )
    temporal_codec_keys_file: Path | None = Field(
        None, description="A file with such lines instead; read again when it changes"
    )
    codec_host: str = Field("127.0.0.1", description="Address of `taskgate codec-server`")
    codec_port: int = Field(8081, ge=0, le=65535, description="Port of `taskgate codec-server`")
    codec_origins: list[str] = Field(
        [], description="Origins whose pages may call the codec server, a JSON list: that of Temporal's UI"
    )
    graph_url: str | None = Field(None, description="Neo4j, bolt://[user:password@]host:port")
    upstream_url: str | None = Field(None, description="MemStack API server that gets every other /api/v1 path")

    # Faces --------------------------------------------------------------------------------------------------
    http_host: str = Field("127.0.0.1", description="Address of the HTTP face")
    http_port: int = Field(8080, ge=0, le=65535, description="Port of the HTTP face")
    allowed_origins: list[str] = Field(
        ["*"], description="Origins whose browser pages may call the gateway (CORS), a JSON list; `*`: all"
    )
    grpc_host: str = Field("127.0.0.1", description="Address of the gRPC face")
    grpc_port: int = Field(50051, ge=0, le=65535, description="Port of the gRPC face; 0: a free one")
    grpc_enabled: bool = Field(True, description="Serve gRPC")
    grpc_reflection: bool = Field(True, description="gRPC clients may ask for the protos (grpcurl, without a key)")
    grpc_tls_certificate: Path | None = Field(None, description="PEM chain of the gRPC face; unset: no TLS")
    grpc_tls_key: Path | None = Field(
        None, description="PEM key for `grpc_tls_certificate`; both files are read again when they change"
    )
    grpc_tls_client_ca: Path | None = Field(
        None, description="PEM; gRPC clients must present a certificate of one of these authorities (mTLS)"
    )
    grpc_keepalive_seconds: float = Field(30.0, ge=1, description="Ping on a quiet gRPC connection")
    grpc_keepalive_timeout_seconds: float = Field(
        10.0, ge=1, description="A gRPC ping without an answer ends the connection"
    )
    leave_seconds: float = Field(
        0.0,
        ge=0,
        le=600,
        description="A gateway that is told to end serves on for this long while `ready` answers 503, so that proxies send requests elsewhere; 0: there is no proxy",
    )
    drain_seconds: float = Field(
        10.0, ge=0, description="Grace for requests under way when the gateway is told to end, after `leave_seconds`"
    )
    max_batch_tasks: int = Field(10_000, ge=1, description="Tasks in one batch")
    max_batch_bytes: int = Field(64 * 1024 * 1024, ge=1024, description="Bytes of all tasks of one batch")
    max_body_bytes: int = Field(
        10 * 1024 * 1024, ge=1024, description="Larger request bodies (gRPC: messages) are refused; HTTP answers 413"
    )
    max_held_bytes: int = Field(
        512 * 1024 * 1024,
        ge=1024,
        description="Bytes of HTTP bodies that arrive in several pieces, and of gRPC messages over 16 kB, in memory; beyond, HTTP answers 503",
    )
    max_held_bytes_per_key: int = Field(
        128 * 1024 * 1024, ge=1024, description="The same for one API key; beyond, HTTP answers 429"
    )
    max_connections: int = Field(
        10_000, ge=10, description="HTTP connections at once; never more than three quarters of the open files allowed"
    )
    client_seconds: float = Field(
        30.0,
        gt=0,
        description="A connection is closed if the head of a request takes longer, or if its body is slower than 16 kB/s after this time",
    )
    trusted_proxies: list[str] = Field(
        ["127.0.0.1", "::1"],
        description="Addresses and networks (CIDR) of proxies in front, a JSON list: their `X-Forwarded-For` and `X-Forwarded-Proto` are believed; `*`: everybody's",
    )
    failed_attempts_per_minute: int = Field(
        60,
        ge=0,
        description="Requests with keys that are not valid, from one address (IPv6: a /64) at one gateway; beyond, further such requests are answered 429; 0: any number",
    )
    console: bool = Field(True, description="Serve the console under `/console`, and its sessions")
    console_files: Path | None = Field(
        None, description="Folder with the built files of the console; unset: those of the package"
    )
    session_idle_seconds: float = Field(
        3600.0, ge=60, description="A session of the console that is not used for so long ends; an open stream is a use"
    )
    session_seconds: float = Field(
        86_400.0, ge=60, description="A session of the console ends after so long, however much it is used"
    )
    audit_source: str = Field(
        "urn:taskgate", min_length=1, description="The source of exported audit events (CloudEvents), a URI"
    )
    api_docs: bool = Field(True, description="Serve `/docs`, the description of the API, and `/openapi.json`")
    max_json_depth: int = Field(64, ge=4, le=250, description="Deeper nested JSON is answered 422")
    stream_without_key: bool = Field(
        True, description="`/tasks/{id}/stream` answers without a key (EventSource cannot send one)"
    )
    enforce_legacy_roles: bool = Field(
        False,
        description="Enforce roles and permissions of keys on legacy endpoints, too; otherwise requests that would be refused are counted (`taskgate access legacy-use`)",
    )
    stream_keepalive_seconds: float = Field(15.0, gt=0, description="Comment line on a quiet event stream")
    passthrough_timeout_seconds: float = Field(300.0, gt=0, description="Longest wait for the upstream's next bytes")
    communities_wait_seconds: float = Field(3600.0, gt=0, description="Longest wait of a rebuild with background=false")

    # Routing ------------------------------------------------------------------------------------------------
    flag_source: Literal["database", "file", "launchdarkly"] | None = Field(
        None,
        description="What holds the flag; unset: LaunchDarkly with an SDK key, else the flag file when one is named, else the database",
    )
    flags_file: Path | None = Field(None, description="Flag file, in the format of LaunchDarkly's file data source")
    launchdarkly_sdk_key: SecretStr | None = Field(None, description="LaunchDarkly server-side SDK key")
    launchdarkly_base_url: str | None = Field(None, description="LaunchDarkly endpoint (relay proxy, private instance)")
    launchdarkly_api_token: SecretStr | None = Field(
        None, description="LaunchDarkly access token for its REST API: changes the flag, and tells who changed it"
    )
    launchdarkly_api_url: str = Field("https://app.launchdarkly.com", description="LaunchDarkly's REST API")
    launchdarkly_project: str = Field("default", description="Key of the flag's project in LaunchDarkly")
    launchdarkly_environment: str = Field("production", description="Key of the flag's environment in LaunchDarkly")
    flag_key: str = Field("task-backend", description="Key of the migration flag")

    # Dispatch -----------------------------------------------------------------------------------------------
    dispatch_concurrency: int = Field(64, ge=1, description="Engine starts under way at once, per backend")
    dispatch_sweep_seconds: float = Field(
        1.0, gt=0, description="Longest pause between looks for due tasks without a notification"
    )
    fallback_seconds: float = Field(
        0.0,
        ge=0,
        description="Tasks of a backend that is down for this long move to the other one, where their stage allows it (never at `complete`); 0: they wait",
    )
    start_timeout_seconds: float = Field(
        5.0, gt=0, description="An engine start without an answer is uncertain after this"
    )
    ingress_bridge: bool = Field(
        False, description="Adopt tasks that producers push into Redis directly, for tenants on another backend"
    )
    ingress_bridge_seconds: float = Field(1.0, gt=0, description="Pause between two looks of the ingress bridge")
    past_gateway_seconds: float = Field(
        5.0, gt=0, description="Pause between two looks for tasks that producers push into Redis past the gateway"
    )
    drain_quiet_hours: float = Field(
        25.0,
        gt=0,
        description="Redis is safe to switch off when no producer or worker past the gateway was seen for so long; set it longer than any producer's longest pause",
    )
    rehearsal_waiting: int = Field(
        10_000,
        ge=100,
        description="Tasks that may wait to be rehearsed for Temporal; of more, the oldest are left out, and counted",
    )
    rehearsal_probe_percent: float = Field(
        10.0,
        ge=0,
        le=100,
        description="Tasks of a tenant at `shadow` beside which a probe is sent to Temporal; 0: none",
    )
    rehearsal_probes_per_second: float = Field(
        1.0, gt=0, le=100, description="Probes of one tenant at most; 100 of all tenants are under way at once"
    )
    rehearsal_probe_seconds: float = Field(
        30.0, gt=0, le=600, description="A probe that no worker takes within this time has failed"
    )
    rehearsal_days: int = Field(7, ge=1, le=365, description="How long findings of rehearsals are kept")
    parity_days: float = Field(
        14.0,
        ge=2,
        description="Days for which sums of ended tasks are kept, for parity",
    )
    guardrail_days: int = Field(365, ge=1, le=3650, description="How long the history of guardrails is kept")
    reconcile_seconds: float = Field(
        1.0, gt=0, description="Pause between two comparisons of task_logs with the engines"
    )
    reap_seconds: float = Field(0.2, gt=0, description="Pause between two looks for lost workers")
    lease_seconds: float = Field(
        15.0,
        gt=0,
        description="A process that has not renewed its lease for this long (it hangs) is lost",
    )
    lease_grace_seconds: float = Field(
        0.3,
        gt=0,
        description="Kills and cut connections: a process whose lease lock is gone for this long is lost",
    )
    idempotency_hours: float = Field(24.0, gt=0, description="How long an Idempotency-Key is remembered")
    task_attempts: int = Field(3, ge=1, le=100, description="Attempts of a task before it is a dead letter")
    non_retryable_errors: dict[str, list[str]] = Field(
        {},
        description='Errors after which a task is not tried again: JSON, task type (or `*`) to names of exception classes, e.g. `{"add_episode": ["ValueError"]}`',
    )

    # Dead letters -------------------------------------------------------------------------------------------
    dead_letter_days: int = Field(
        90, ge=1, le=3650, description="How long dead letters are kept; the tasks and their rows in task_logs stay"
    )
    dead_letter_seconds: float = Field(2.0, gt=0, description="Pause between two looks at what is set aside in Redis")
    redact: list[str] = Field(
        [
            *("password", "passwd", "secret", "token", "api_key", "authorization", "cookie", "credentials"),
            *("private_key", "content"),
        ],
        description="Parts of a dead letter's payload that are hidden, a JSON list: key names (at every depth, also as the end of a longer name) and paths (`$.a.b[*]`)",
    )

    # DAGs ---------------------------------------------------------------------------------------------------
    episode_dag_tenants: list[str] = Field(
        [],
        description='Tenants whose `add_episode` runs on Temporal as the DAG `episode`, in steps, a JSON list; `["*"]`: all',
    )
    dag_max_nodes: int = Field(5_000, ge=1, le=20_000, description="Nodes of a DAG, with those of DAGs inside")
    dag_max_items: int = Field(10_000, ge=1, le=100_000, description="Items of one fan-out")
    dag_max_width: int = Field(1_000, ge=1, le=10_000, description="Items of a fan-out that run at once")
    dag_history_events: int = Field(
        4_000, ge=20, le=10_000, description="A run continues with a new Temporal history after so many events"
    )
    dag_max_depth: int = Field(4, ge=1, le=10, description="DAGs inside DAGs")
    dag_max_document_bytes: int = Field(2 * 1024 * 1024, ge=1024, description="Bytes of a definition")
    dag_max_expressions: int = Field(10_000, ge=1, le=100_000, description="Expressions of a definition")
    dag_max_expression_length: int = Field(1_000, ge=10, le=10_000, description="Characters of an expression")
    dag_max_data_bytes: int = Field(
        1024 * 1024, ge=1024, description="Bytes of parameters, and of earlier results that one expression reads"
    )

    # Schedules ----------------------------------------------------------------------------------------------
    schedules_per_tenant: int = Field(1000, ge=0, description="Schedules that a tenant may have")
    schedule_history_days: int = Field(90, ge=1, description="How long the history of schedules is kept")

    # Retention ----------------------------------------------------------------------------------------------
    retention_task_days: float = Field(
        30.0,
        ge=1,
        description="How long the gateway remembers a task after its end: its way, its runs, a run of a DAG with its nodes; its row in task_logs stays",
    )
    retention_task_log_days: float | None = Field(
        None,
        ge=1,
        description="Finished rows of task_logs are exported, then deleted, so long after their end; unset: they stay for good",
    )
    retention_export: str | None = Field(
        None,
        description="Where those rows go, as NDJSON: a folder, or `s3://bucket/prefix` (keys and endpoint: the variables `AWS_…`)",
    )
    retention_tenants: dict[str, TenantRetention] = Field(
        {},
        description='Tenants with days of their own, JSON: `{"acme": {"task_days": 365, "task_log_days": 730, "schedule_history_days": 365}}`',
    )
    operation_days: float = Field(30.0, ge=1, description="How long bulk operations are listed after their end")

    # Callbacks ----------------------------------------------------------------------------------------------
    callback_allow_private: bool = Field(
        False, description="Callbacks may go to loopback and private addresses (link-local ones stay refused)"
    )
    callback_networks: list[IPvAnyNetwork] = Field(
        [], description="Networks that callbacks may go to although they are private, a JSON list of CIDRs"
    )
    callback_ports: list[str] = Field(
        [], description='Ports that callbacks may go to beside 80 and 443, a JSON list: `["8443", "9000-9099"]`'
    )
    callback_ca_file: Path | None = Field(
        None, description="PEM; receivers' certificates are checked with it instead of the system's"
    )
    callback_lookup_seconds: float = Field(
        5.0,
        gt=0,
        le=120,
        description="Longest DNS look-up of a receiver; part of `callback_timeout_seconds`, not added to it",
    )
    callback_timeout_seconds: float = Field(10.0, gt=0, le=120, description="Longest attempt to send a callback")
    guardrail_webhook_url: str | None = Field(
        None, description="Is told what guardrails do, by a signed webhook; the rules of callbacks hold for it, too"
    )
    guardrail_webhook_secret: SecretStr | None = Field(
        None, description="Signs it (Standard Webhooks, `whsec_…`); without one nothing is sent"
    )
    callback_attempts: int = Field(12, ge=1, le=100, description="Attempts of a callback before it is given up")
    callback_retry_seconds: float = Field(
        5.0, gt=0, description="Pause after a callback's first failed attempt, doubled each time"
    )
    callback_longest_retry_seconds: float = Field(
        3600.0, gt=0, description="Longest pause between two attempts of a callback, unless its receiver asks for more"
    )
    callback_concurrency: int = Field(
        32, ge=1, le=1000, description="Callbacks that one gateway sends at once (12 of one tenant, 4 to one receiver)"
    )
    callback_seconds: float = Field(1.0, gt=0, description="Longest pause between two looks for callbacks that are due")
    callback_days: int = Field(
        7, ge=1, le=3650, description="How long delivered callbacks are listed; those given up: `dead_letter_days`"
    )

    task_losses: int = Field(
        5,
        ge=1,
        le=100,
        description="A task becomes a dead letter when so many workers in a row were lost while they ran it",
    )

    # Workers ------------------------------------------------------------------------------------------------
    handlers: str = Field("", description="Comma-separated modules with further task handlers (plug-ins)")
    worker_slots: int = Field(20, ge=1, description="Tasks that one worker process runs at once")
    worker_memory_mb: int = Field(
        0, ge=0, description="A worker process that uses more is drained and replaced; 0: no limit"
    )
    isolated_types: str = Field(
        "", description="Comma-separated task types whose handlers run in processes of their own; `*`: all"
    )
    isolated_memory_mb: int = Field(
        0, ge=0, description="A handler in a process of its own fails if it uses more; 0: no limit"
    )
    worker_drain_seconds: float = Field(30.0, ge=0, description="Grace for running tasks when a worker is told to end")
    unserved_type_seconds: float = Field(
        60.0,
        ge=0,
        description="On Redis, a task fails if no living worker has had a handler of its type for this time; until then it waits",
    )
    ready_file: Path | None = Field(None, description="File that a worker creates once it polls")
    temporal_standalone_activities: bool | None = Field(
        None, description="Use standalone activities; unset: ask the server"
    )
    temporal_heartbeat_seconds: float = Field(
        30.0,
        ge=1,
        description="A task on Temporal is offered to other workers if its worker is silent for this time; while it runs, they are refused; leases usually notice a lost worker much earlier",
    )
    temporal_inline_payload_bytes: int = Field(
        128 * 1024, ge=0, description="Larger payloads stay in PostgreSQL; Temporal gets a reference"
    )

    # Graph --------------------------------------------------------------------------------------------------
    llm_url: str | None = Field(None, description="OpenAI-compatible base URL; for extraction")
    llm_api_key: SecretStr | None = Field(None, description="Key for `llm_url`")
    llm_model: str = Field("gpt-4.1-mini", description="Model for extraction")
    llm_structured_output: Literal["json_schema", "json_object"] = Field(
        "json_schema", description="How answers are asked for; `json_object` for servers without JSON schemas"
    )
    embedder_url: str | None = Field(None, description="OpenAI-compatible base URL, for vectors")
    embedder_api_key: SecretStr | None = Field(None, description="Key for `embedder_url`")
    embedder_model: str = Field("text-embedding-3-small", description="Embedding model")
    models_module: str | None = Field(
        None,
        description="Module whose `language_model()` and `embedder(dimensions)` replace a URL that is unset, e.g. `deploy.demo`",
    )
    embedder_dimensions: int = Field(1024, ge=8, le=8192, description="Length of an embedding")
    shared_default_group: bool = Field(
        False,
        description="Tasks without a project use one group of the graph for all tenants, as in the legacy system; only for installations with one tenant",
    )

    # Telemetry ----------------------------------------------------------------------------------------------
    trace_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of traces that are recorded and sent over OTLP (HTTP), unless the caller has decided; 0: no tracing at all",
    )
    trace_url: str | None = Field(
        None,
        pattern=r"^https?://\S*\{trace_id\}\S*$",
        description="Address of a trace for people, with `{trace_id}` in it, as `https://jaeger.example.com/trace/{trace_id}`; the console links to it",
    )
    temporal_ui_url: str | None = Field(
        None, pattern=r"^https?://\S+$", description="Address of Temporal's UI for people; the console links to it"
    )
    metrics_otlp: bool = Field(
        False,
        description="Send metrics over OTLP (HTTP), too; where to: the standard variables `OTEL_EXPORTER_OTLP_…`",
    )
    metrics_tenants: list[str] = Field(
        [],
        max_length=10,
        description="Tenants whose tasks are counted apart (label `tenant`), a JSON list of ten at most; all others are `other`",
    )

    # Command line ---------------------------------------------------------------------------------------------
    url: str = Field("http://127.0.0.1:8080", description="Gateway that commands talk to")
    api_key: SecretStr | None = Field(None, description="Key that commands send to it")

    # For the fault suite -------------------------------------------------------------------------------------
    fault_point: str = Field("", description="Fault suite only: the process kills itself at this step, `name:count`")
    fence_enabled: bool = Field(
        True,
        description="Fault suite only: false lets workers run tasks without a claim, and rampdown move tasks without asking Redis, to prove that the checker notices it",
    )

    log_level: str = Field("INFO", description="Lowest level that is logged")
    log_format: Literal["json", "text"] = Field(
        "json", description="A line of the log: a JSON object, or text for people"
    )

    _files: dict[str, SecretFile] = PrivateAttr(default_factory=dict)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _ByFile(settings_cls), env_settings

    def model_post_init(self, context: Any, /) -> None:
        """Remember the files of the secrets that are in force."""
        for name, path in _named_files().items():
            file = SecretFile(path, partial(self._checked, name))
            if file.read() == self._plain(name):
                self._files[name] = file

    @property
    def by_file(self) -> frozenset[str]:
        """The settings whose value is a file's content, `TASKGATE_…_FILE`."""
        return frozenset(self._files)

    def follow(self, name: str) -> Secret:
        """The secret of a setting that is set; where it came by file, what returns the file's content of now."""
        file = self._files.get(name)
        if file is not None and self._plain(name) is not None:
            return file.latest
        value = self._plain(name)
        assert value is not None, name
        return value

    def _plain(self, name: str) -> str | None:
        value: str | SecretStr | None = getattr(self, name)
        return value.get_secret_value() if isinstance(value, SecretStr) else value

    @classmethod
    def _checked(cls, name: str, text: str) -> str:
        """As the setting has it. Raises `ValueError` for an address that cannot be meant."""
        text = cls._plain_scheme(text) if name == "database_url" else text
        return cls._with_known_scheme(name, text) if name in _SCHEMES else text

    @field_validator("database_url")
    @classmethod
    def _plain_scheme(cls, value: str) -> str:
        """SQLAlchemy spellings (`postgresql+asyncpg://`) are accepted; asyncpg itself wants the plain one."""
        scheme, separator, rest = value.partition("://")
        return f"{scheme.partition('+')[0]}{separator}{rest}"

    @field_validator(*_SCHEMES)
    @classmethod
    def _known_scheme(cls, value: str | None, info: ValidationInfo) -> str | None:
        name = info.field_name or ""
        if not value and cls.model_fields[name].default is None:
            return None
        return cls._with_known_scheme(name, value or "")

    @staticmethod
    def _with_known_scheme(name: str, value: str) -> str:
        if value.partition("://")[0] not in _SCHEMES[name]:
            raise ValueError(f"not an address that begins with {' or '.join(f'{each}://' for each in _SCHEMES[name])}")
        if name in _URLS_WITH_PASSWORDS and not _is_whole(name, value):  # without a word of it
            raise ValueError("not an address: in a password, write / as %2F, ? as %3F, # as %23 and @ as %40")
        return value

    @field_validator("temporal_address")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value and not re.fullmatch(r"([^\s:/]+|\[[0-9a-fA-F:.]+\]):\d{1,5}", value):
            raise ValueError("not host:port")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, values: list[str]) -> list[str]:
        if "*" in values and len(values) > 1:
            raise ValueError("'*' is everybody: write it alone")
        for value in values if values != ["*"] else ():
            network, address = ip_network(value, strict=False), value.partition("/")[0]
            if network.network_address != ip_address(address):  # which of both is meant?
                raise ValueError(f"{value!r} is neither a network nor an address: write '{network}' or '{address}'")
        return values

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in _LOG_LEVELS:
            raise ValueError(f"not one of {', '.join(_LOG_LEVELS)}")
        return value

    @field_validator("callback_ports")
    @classmethod
    def _ports(cls, texts: list[str]) -> list[str]:
        ports_of(texts)
        return texts

    @field_validator("redact")
    @classmethod
    def _sound_rules(cls, value: list[str]) -> list[str]:
        Redaction.of(value)
        return value

    @model_validator(mode="after")
    def _payloads_can_be_encrypted(self) -> Settings:
        if self.temporal_codec_keys is not None and self.temporal_codec_keys_file is not None:
            raise ValueError("set TASKGATE_TEMPORAL_CODEC_KEYS or TASKGATE_TEMPORAL_CODEC_KEYS_FILE, not both")
        try:
            self.payload_codec()
        except ValueError as error:
            raise ValueError(f"the keys of TASKGATE_TEMPORAL_CODEC_KEYS cannot be used: {error}") from None
        return self

    @model_validator(mode="after")
    def _certificate_has_a_key(self) -> Settings:
        if (self.temporal_tls_certificate is None) != (self.temporal_tls_key is None):
            raise ValueError("set both TASKGATE_TEMPORAL_TLS_CERTIFICATE and TASKGATE_TEMPORAL_TLS_KEY, or neither")
        return self

    @model_validator(mode="after")
    def _source_is_there(self) -> Settings:
        if self.flag_source == "file" and self.flags_file is None:
            raise ValueError("TASKGATE_FLAG_SOURCE is file: set TASKGATE_FLAGS_FILE")
        if self.flag_source == "launchdarkly" and not self.launchdarkly_sdk_key:
            raise ValueError("TASKGATE_FLAG_SOURCE is launchdarkly: set TASKGATE_LAUNCHDARKLY_SDK_KEY")
        return self

    @model_validator(mode="after")
    def _kept_long_enough(self) -> Settings:
        """What is promised, or still compared, outlives no setting of retention."""
        tenants = self.retention_tenants.values()
        days = [self.retention_task_days, self.retention_task_log_days]
        days += [each for tenant in tenants for each in (tenant.task_days, tenant.task_log_days)]
        shortest = min(each for each in days if each is not None)
        for name, hours in (
            ("idempotency_hours", self.idempotency_hours),
            ("drain_quiet_hours", self.drain_quiet_hours),
        ):
            if shortest * 24 < hours:
                raise ValueError(
                    f"tasks must be remembered for TASKGATE_{name.upper()} at least: {hours / 24:g} days, not {shortest:g}"
                )
        deletes = self.retention_task_log_days or any(tenant.task_log_days for tenant in tenants)
        if deletes and self.retention_export is None:
            raise ValueError("rows of task_logs are deleted only after an export: set TASKGATE_RETENTION_EXPORT")
        return self

    def payload_codec(self) -> EncryptionCodec | None:
        """What encrypts payloads on their way through Temporal; None: nothing does."""
        if self.temporal_codec_keys is None and self.temporal_codec_keys_file is None:
            return None
        from backends.temporal.encryption import KeyRing, codec_of

        if self.temporal_codec_keys is not None:
            return codec_of(self.temporal_codec_keys.get_secret_value)
        file = self.temporal_codec_keys_file
        assert file is not None

        def usable(text: str) -> str:
            KeyRing.parse(text)
            return text

        secret = SecretFile(file, usable)
        try:
            secret.read()
        except OSError as error:
            raise ValueError(f"{file}: {error.strerror}") from error
        return codec_of(secret.latest)

    def temporal_security(self) -> Security:
        """TLS and the API key of connections to Temporal; each call returns another one, with the same files."""
        from backends.temporal.security import Security

        key = self.follow("temporal_api_key") if self.temporal_api_key is not None else None
        return Security(
            tls=self.temporal_tls,
            server_ca=self.temporal_tls_ca,
            server_name=self.temporal_tls_server_name,
            certificate=self.temporal_tls_certificate,
            key=self.temporal_tls_key,
            api_key=None if key is None else partial(text_of, key),
        )

    @property
    def flag_owner(self) -> Literal["database", "file", "launchdarkly"]:
        """What holds the flag."""
        if self.flag_source is not None:
            return self.flag_source
        if self.launchdarkly_sdk_key:
            return "launchdarkly"
        return "database" if self.flags_file is None else "file"

    @property
    def retry_policy(self) -> RetryPolicy:
        """The gateway's policy, for tasks without their own."""
        return RetryPolicy(attempts=self.task_attempts)

    @property
    def handler_modules(self) -> list[str]:
        return [name.strip() for name in self.handlers.split(",") if name.strip()]


SECRETS = frozenset(
    name
    for name, field in Settings.model_fields.items()
    if name in _URLS_WITH_PASSWORDS or SecretStr in (field.annotation, *get_args(field.annotation))
    if f"{name}_file" not in Settings.model_fields
)
"""The settings that may come by file, `TASKGATE_…_FILE`; a codec's keys are followed by the codec itself."""


def _is_whole(name: str, address: str) -> bool:
    """Whether the setting's driver can take it apart, which otherwise raises whatever it comes upon.

    A `/`, `?` or `#` in a password ends the host there, and leaves the rest, with its `@`, behind.
    """
    is_database = name == "database_url"
    try:
        parts = urlsplit(address)
        if is_database and parts.query:
            parse_qsl(parts.query, strict_parsing=True)
    except ValueError:
        return False
    if parts.fragment or (parts.netloc and "@" in parts.path):
        return False
    places = [parts.netloc.rpartition("@")[2]]
    if is_database:  # of several hosts, and ends the password at the first @
        _, separator, place = parts.netloc.partition("@")
        places = (place if separator else parts.netloc).split(",")
    found = [_PLACE.fullmatch(unquote(each)) for each in places]
    return all(one and int(one[2] or 0) <= 65535 for one in found) and (len(places) == 1 or all(places))


def _named_files() -> dict[str, Path]:
    """The secrets whose file is named, with its path."""
    named = {name: os.environ.get(f"{PREFIX}{name.upper()}_FILE") for name in SECRETS}
    return {name: Path(path) for name, path in named.items() if path}


class _ByFile(PydanticBaseSettingsSource):
    """Secrets by file. Raises `SettingsError` for a file that cannot be read, and for a secret that is given twice."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False  # `__call__` does it for all fields at once

    def __call__(self) -> dict[str, Any]:
        found = {}
        for name, path in _named_files().items():
            variable = f"{PREFIX}{name.upper()}"
            if os.environ.get(variable):
                raise SettingsError(f"{variable} and {variable}_FILE are both set: keep one of them")
            try:
                found[name] = SecretFile(path).read()
            except (OSError, ValueError) as error:
                raise SettingsError(f"{variable}_FILE: {path} cannot be read: {why(error)}") from None
        return found


def read_settings() -> Settings:
    """The settings, or the end of the process with one line that names the variable (`SystemExit`, code 2)."""
    known = [name.upper() for name in Settings.model_fields] + [f"{name.upper()}_FILE" for name in SECRETS]
    for name in sorted(each.removeprefix(PREFIX) for each in os.environ if each.startswith(PREFIX)):
        # Without the prefix: it would make any two names alike.
        if name not in known and (near := get_close_matches(name, known, 1, 0.85)):
            _refuse(f"there is no setting {PREFIX}{name}; perhaps {PREFIX}{near[0]} is meant")
    try:
        return Settings()
    except SettingsError as error:
        if (unparsed := re.search(r'field "(\w+)"', str(error))) is None:
            _refuse(str(error))
        name = unparsed[1]
        example = json.dumps(Settings.model_fields[name].get_default(call_default_factory=True))
        _refuse(f"{PREFIX}{name.upper()}: this is not JSON, such as {example}")
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field, *inside = first["loc"] or ("",)
        name = f"{PREFIX}{field}".upper() if field else "settings"
        _refuse(": ".join([name, *map(str, inside), first["msg"].removeprefix("Value error, ")]))


def _refuse(reason: str) -> NoReturn:
    sys.stderr.write(f"taskgate: {reason}\n")
    raise SystemExit(2)
