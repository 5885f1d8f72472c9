"""Who may do what: every verb, the permission of a key and the role that it takes, and the verb of every endpoint."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, IntEnum

LEGACY_PREFIX = "/api/v1/"


class Level(IntEnum):
    """How much a role may do; each level includes those below it."""

    READER = 1
    MEMBER = 2
    MANAGER = 3
    ADMINISTRATOR = 4


class KeyScope(IntEnum):
    """How much a key may be used for, whatever its user may; each includes those before it."""

    READ = 1
    SUBMIT = 2
    OPERATE = 3
    ADMIN = 4


class Verb(Enum):
    """What an endpoint does, for the rules: permission and least scope of the key, least role, and what that covers."""

    READ = (
        "read",
        KeyScope.READ,
        Level.READER,
        "Look at tasks, DAGs, schedules, dead letters, callbacks, quotas, pauses and parity",
    )
    SUBMIT = ("write", KeyScope.SUBMIT, Level.MEMBER, "Submit tasks and start runs of DAGs")
    STEER = ("write", KeyScope.OPERATE, Level.MEMBER, "Retry, stop, delay, approve, skip and signal; bulk operations")
    SCHEDULE = ("write", KeyScope.OPERATE, Level.MEMBER, "Create, change, pause, run and delete schedules")
    DEFINE = ("write", KeyScope.OPERATE, Level.MEMBER, "Apply, retire and roll back DAGs")
    REDRIVE = ("write", KeyScope.OPERATE, Level.MEMBER, "Redrive and dismiss dead letters, send callbacks again")
    PURGE = ("write", KeyScope.OPERATE, Level.MANAGER, "Delete dead letters")
    KEYS = ("admin", KeyScope.ADMIN, Level.MANAGER, "Make, list, rotate and revoke keys")
    SECRETS = ("admin", KeyScope.ADMIN, Level.MANAGER, "See and change the secrets of callbacks")
    OBSERVE = (
        "read",
        KeyScope.READ,
        Level.ADMINISTRATOR,
        "Look at workers, scaling signals, metrics, stages, drains, guardrails, plans, ledger, audit and legacy use",
    )
    OPERATE = (
        "admin",
        KeyScope.ADMIN,
        Level.ADMINISTRATOR,
        "Change tiers, weights, quotas, pauses, stages, guardrails and plans; drain workers",
    )

    def __init__(self, permission: str, scope: KeyScope, level: Level, meaning: str) -> None:
        self.permission = permission
        self.scope = scope
        self.level = level
        self.meaning = meaning


_RESOURCES = {
    Verb.READ: """
        GET /api/v1/tasks/  GET /api/v1/tasks/stats  GET /api/v1/tasks/queue-depth  GET /api/v1/tasks/recent
        GET /api/v1/tasks/status-breakdown  GET /api/v1/tasks/{task_id}  GET /api/v1/tasks/{task_id}/stream
        GET /gateway/v1/overview  GET /gateway/v1/tasks  GET /gateway/v1/tasks/stream
        GET /gateway/v1/tasks/{task_id}  GET /gateway/v1/tasks/{task_id}/why
        GET /gateway/v1/tasks/{task_id}/payload  GET /gateway/v1/tasks/{task_id}/links
        GET /gateway/v1/operations  GET /gateway/v1/operations/{operation_id}
        GET /gateway/v1/schedules  GET /gateway/v1/schedules/{schedule_id}
        GET /gateway/v1/schedules/{schedule_id}/next  GET /gateway/v1/schedules/{schedule_id}/history
        GET /gateway/v1/dead-letters  GET /gateway/v1/dead-letters/{id}
        GET /gateway/v1/dead-letters/groups
        GET /gateway/v1/dags  GET /gateway/v1/dags/schema  POST /gateway/v1/dags/validate
        GET /gateway/v1/dags/{name}  GET /gateway/v1/dags/{name}/versions  GET /gateway/v1/dags/{name}/diff
        GET /gateway/v1/dag-runs  GET /gateway/v1/dag-runs/{run_id}  GET /gateway/v1/dag-runs/{run_id}/stream
        GET /gateway/v1/dag-runs/{run_id}/nodes/{path}/result
        GET /gateway/v1/callbacks  GET /gateway/v1/callbacks/{id}
        GET /gateway/v1/migration/parity  GET /gateway/v1/migration/parity/stream
        GET /gateway/v1/tenants  GET /gateway/v1/tenants/{tenant_id}  GET /gateway/v1/tenants/{tenant_id}/quotas
        GET /gateway/v1/pauses  GET /gateway/v1/news/stream
        POST /gateway/v1/session  GET /gateway/v1/session  DELETE /gateway/v1/session""",
    Verb.SUBMIT: """
        POST /api/v1/episodes/  POST /api/v1/memories/  POST /api/v1/communities/rebuild
        POST /api/v1/maintenance/refresh/incremental  POST /api/v1/maintenance/deduplicate
        POST /api/v1/maintenance/optimize
        POST /gateway/v1/tasks  POST /gateway/v1/tasks/batch  POST /gateway/v1/dag-runs
        POST /gateway/v1/dag-runs/preview""",
    Verb.STEER: """
        POST /api/v1/tasks/{task_id}/retry  POST /api/v1/tasks/{task_id}/stop  POST /api/v1/tasks/{task_id}/cancel
        POST /gateway/v1/tasks/{task_id}/run-at
        POST /gateway/v1/operations  POST /gateway/v1/operations/{operation_id}/abort
        POST /gateway/v1/dag-runs/{run_id}/cancel  POST /gateway/v1/dag-runs/{run_id}/retry
        POST /gateway/v1/dag-runs/{run_id}/nodes/{path}/approve  POST /gateway/v1/dag-runs/{run_id}/nodes/{path}/skip
        POST /gateway/v1/dag-runs/{run_id}/signals/{name}""",
    Verb.SCHEDULE: """
        POST /gateway/v1/schedules  PUT /gateway/v1/schedules/{schedule_id}  PATCH /gateway/v1/schedules/{schedule_id}
        DELETE /gateway/v1/schedules/{schedule_id}  POST /gateway/v1/schedules/{schedule_id}/pause
        POST /gateway/v1/schedules/{schedule_id}/resume  POST /gateway/v1/schedules/{schedule_id}/run
        POST /gateway/v1/schedules/{schedule_id}/backfill""",
    Verb.DEFINE: """
        PUT /gateway/v1/dags/{name}  DELETE /gateway/v1/dags/{name}  POST /gateway/v1/dags/{name}/rollback""",
    Verb.REDRIVE: """
        POST /gateway/v1/dead-letters/redrive  POST /gateway/v1/dead-letters/{id}/redrive
        POST /gateway/v1/dead-letters/dismiss  POST /gateway/v1/dead-letters/{id}/dismiss
        POST /gateway/v1/callbacks/resend  POST /gateway/v1/callbacks/{id}/resend""",
    Verb.PURGE: """
        POST /gateway/v1/dead-letters/purge  DELETE /gateway/v1/dead-letters/{id}""",
    Verb.KEYS: """
        GET /gateway/v1/keys  POST /gateway/v1/keys  GET /gateway/v1/keys/{key_id}  DELETE /gateway/v1/keys/{key_id}
        POST /gateway/v1/keys/{key_id}/rotate""",
    Verb.SECRETS: """
        POST /gateway/v1/tenants/{id}/webhook-secret  GET /gateway/v1/tenants/{id}/webhook-secret""",
    Verb.OBSERVE: """
        GET /gateway/v1/workers  GET /gateway/v1/workers/{process_id}  GET /gateway/v1/scale  GET /metrics
        GET /gateway/v1/legacy-use  GET /gateway/v1/audit  GET /gateway/v1/audit/events
        GET /gateway/v1/migration/stages  GET /gateway/v1/migration/stages/history
        GET /gateway/v1/migration/stages/document  GET /gateway/v1/migration/stages/stream
        GET /gateway/v1/migration/ledger  GET /gateway/v1/migration/ledger/verification
        GET /gateway/v1/migration/drain  GET /gateway/v1/migration/drain/stream
        GET /gateway/v1/migration/rampdown
        GET /gateway/v1/migration/guardrails  GET /gateway/v1/migration/guardrails/history
        GET /gateway/v1/migration/rehearsal  GET /gateway/v1/migration/rehearsal/tasks
        GET /gateway/v1/migration/rehearsal/probes
        GET /gateway/v1/migration/plans  GET /gateway/v1/migration/plans/schema
        POST /gateway/v1/migration/plans/validate  GET /gateway/v1/migration/plans/{name}
        POST /gateway/v1/migration/preview  POST /gateway/v1/migration/plans/dry-run""",
    Verb.OPERATE: """
        PUT /gateway/v1/tenants/{tenant_id}  PUT /gateway/v1/tenants/{tenant_id}/quotas
        DELETE /gateway/v1/tenants/{tenant_id}/quotas
        POST /gateway/v1/pauses  DELETE /gateway/v1/pauses/{pause_id}
        POST /gateway/v1/workers/{process_id}/drain
        POST /gateway/v1/migration/parity/gate
        PUT /gateway/v1/migration/guardrails  POST /gateway/v1/migration/guardrails/unlock
        POST /gateway/v1/migration/guardrails/unfreeze
        PUT /gateway/v1/migration/stages  DELETE /gateway/v1/migration/stages
        PUT /gateway/v1/migration/stages/rollout  PUT /gateway/v1/migration/stages/document
        PUT /gateway/v1/migration/stages/overrides  DELETE /gateway/v1/migration/stages/overrides
        PUT /gateway/v1/migration/plans/{name}  POST /gateway/v1/migration/plans/{name}/acts""",
}
#: The verb of each endpoint, by `METHOD /path`.
ENDPOINTS = {
    f"{method} {path}": verb
    for verb, text in _RESOURCES.items()
    for method, path in zip(text.split()[::2], text.split()[1::2], strict=True)
}

#: The verb of each gRPC method. Names are unique over all services.
METHODS = {
    name: verb
    for verb, names in {
        Verb.READ: """
            Get List Watch Stats Describe Select WatchSelection GetPayload QueueDepth StatusBreakdown
            GetOverview GroupDeadLetters
            GetOperation ListOperations GetSchedule ListSchedules ListScheduleTimes ListFirings
            ListDeadLetters GetDeadLetter GetDagSchema ValidateDag ListDags GetDag ListDagVersions CompareDagVersions
            GetDagRun ListDagRuns GetDagNodeResult WatchDagRun ListCallbacks GetCallback ListTenants GetTenant
            ListQuotas ListPauses ExplainTask GetParity WatchParity""",
        Verb.SUBMIT: "Submit SubmitBatch StartDagRun PreviewDagRun",
        Verb.STEER: """
            Retry Stop SetRunTime StartOperation AbortOperation CancelDagRun RetryDagRun ApproveDagNode SkipDagNode
            SendDagSignal""",
        Verb.SCHEDULE: """
            CreateSchedule UpdateSchedule DeleteSchedule PauseSchedule ResumeSchedule RunSchedule BackfillSchedule""",
        Verb.DEFINE: "ApplyDag RetireDag RollBackDag",
        Verb.REDRIVE: """
            RedriveDeadLetter RedriveDeadLetters DismissDeadLetter DismissDeadLetters ResendCallback ResendCallbacks""",
        Verb.PURGE: "PurgeDeadLetter PurgeDeadLetters",
        Verb.KEYS: "CreateKey ListKeys GetKey RotateKey RevokeKey",
        Verb.SECRETS: "RotateWebhookSecret ListWebhookSecrets",
        Verb.OBSERVE: """
            ListWorkers GetWorker GetScale GetStages ListStageChanges GetFlagDocument WatchStages
            GetGuardrails ListGuardrailEvents
            ListFlips VerifyLedger Drain WatchDrain GetRampdown ListRehearsals ListRehearsedTasks
            ListProbedTasks ListAuditEntries ListAuditEvents ListPlans GetPlan GetPlanSchema ValidatePlan PreviewStages
            DryRunPlan""",
        Verb.OPERATE: """
            ChangeTenant SetQuota ClearQuota AddPause RemovePause SetStage UnsetStage SetRollout ImportFlagDocument
            SetOverride ClearOverride AskParityGate SetGuardrail UnlockGuardrail UnfreezeGuardrails
            PutPlan ActOnPlan DrainWorker""",
    }.items()
    for name in names.split()
}


@dataclass(slots=True)
class Asked:
    """What a request asks for; `is_legacy`: over an endpoint whose clients were never held to their roles."""

    verb: Verb
    is_legacy: bool = False
    face: str = "http"
    """`http` or `grpc`."""
    address: str = ""
    """Of the client, as far as the proxies in front are trusted; empty: unknown."""
    key_id: str = ""
    """The key, once it is known."""
    session_token_hash: str = ""
    """Of the session whose cookie counts for the request; empty: there is none."""
    is_counted: bool = False
    """A rule would have refused it, and that was counted: once, however often the request asks who calls."""


#: What the present request asks for. The faces set it before anything asks who calls.
ASKED: ContextVar[Asked] = ContextVar("asked")


def asked_by(methods: Iterable[str], path: str) -> Asked:
    """What a route asks for. Raises `LookupError` when it has no verb: no route goes without one."""
    verbs = {ENDPOINTS[f"{method} {path}"] for method in methods}
    if len(verbs) != 1:
        raise LookupError(f"{path} has {len(verbs)} verbs")
    return Asked(verbs.pop(), path.startswith(LEGACY_PREFIX))
