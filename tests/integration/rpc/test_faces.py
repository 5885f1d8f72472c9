"""What HTTP offers, gRPC offers too: both lists are compared, so that no endpoint is forgotten."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from fastapi.routing import APIRoute

from gateway.app import create_app
from gateway.rpc.generate import PROTOS

#: Endpoint by endpoint, the method that does the same.
SAME = {
    "POST /gateway/v1/tasks": "TaskService/Submit",
    "POST /gateway/v1/tasks/batch": "TaskService/SubmitBatch",
    "GET /gateway/v1/overview": "TaskService/GetOverview",
    "GET /gateway/v1/tasks": "TaskService/Select",
    "GET /gateway/v1/tasks/stream": "TaskService/WatchSelection",
    "GET /gateway/v1/tasks/{task_id}": "TaskService/Describe",
    "GET /gateway/v1/tasks/{task_id}/payload": "TaskService/GetPayload",
    "POST /gateway/v1/tasks/{task_id}/run-at": "TaskService/SetRunTime",
    "GET /api/v1/tasks/{task_id}": "TaskService/Get",
    "GET /api/v1/tasks/": "TaskService/List",
    "GET /api/v1/tasks/recent": "TaskService/List",
    "GET /api/v1/tasks/stats": "TaskService/Stats",
    "GET /api/v1/tasks/queue-depth": "TaskService/QueueDepth",
    "GET /api/v1/tasks/status-breakdown": "TaskService/StatusBreakdown",
    "POST /api/v1/tasks/{task_id}/retry": "TaskService/Retry",
    "POST /api/v1/tasks/{task_id}/stop": "TaskService/Stop",
    "POST /api/v1/tasks/{task_id}/cancel": "TaskService/Stop",
    "GET /api/v1/tasks/{task_id}/stream": "TaskService/Watch",
    "GET /gateway/v1/dags/schema": "DagService/GetDagSchema",
    "POST /gateway/v1/dags/validate": "DagService/ValidateDag",
    "GET /gateway/v1/dags": "DagService/ListDags",
    "PUT /gateway/v1/dags/{name}": "DagService/ApplyDag",
    "GET /gateway/v1/dags/{name}": "DagService/GetDag",
    "DELETE /gateway/v1/dags/{name}": "DagService/RetireDag",
    "GET /gateway/v1/dags/{name}/versions": "DagService/ListDagVersions",
    "GET /gateway/v1/dags/{name}/diff": "DagService/CompareDagVersions",
    "POST /gateway/v1/dags/{name}/rollback": "DagService/RollBackDag",
    "POST /gateway/v1/dag-runs": "DagRunService/StartDagRun",
    "POST /gateway/v1/dag-runs/preview": "DagRunService/PreviewDagRun",
    "GET /gateway/v1/dag-runs": "DagRunService/ListDagRuns",
    "GET /gateway/v1/dag-runs/{run_id}": "DagRunService/GetDagRun",
    "POST /gateway/v1/dag-runs/{run_id}/cancel": "DagRunService/CancelDagRun",
    "POST /gateway/v1/dag-runs/{run_id}/retry": "DagRunService/RetryDagRun",
    "POST /gateway/v1/dag-runs/{run_id}/nodes/{path}/approve": "DagRunService/ApproveDagNode",
    "POST /gateway/v1/dag-runs/{run_id}/nodes/{path}/skip": "DagRunService/SkipDagNode",
    "POST /gateway/v1/dag-runs/{run_id}/signals/{name}": "DagRunService/SendDagSignal",
    "GET /gateway/v1/dag-runs/{run_id}/nodes/{path}/result": "DagRunService/GetDagNodeResult",
    "GET /gateway/v1/dag-runs/{run_id}/stream": "DagRunService/WatchDagRun",
    "GET /gateway/v1/dead-letters": "DeadLetterService/ListDeadLetters",
    "GET /gateway/v1/dead-letters/groups": "DeadLetterService/GroupDeadLetters",
    "GET /gateway/v1/dead-letters/{id}": "DeadLetterService/GetDeadLetter",
    "DELETE /gateway/v1/dead-letters/{id}": "DeadLetterService/PurgeDeadLetter",
    "POST /gateway/v1/dead-letters/{id}/redrive": "DeadLetterService/RedriveDeadLetter",
    "POST /gateway/v1/dead-letters/{id}/dismiss": "DeadLetterService/DismissDeadLetter",
    "POST /gateway/v1/dead-letters/redrive": "DeadLetterService/RedriveDeadLetters",
    "POST /gateway/v1/dead-letters/dismiss": "DeadLetterService/DismissDeadLetters",
    "POST /gateway/v1/dead-letters/purge": "DeadLetterService/PurgeDeadLetters",
    "POST /gateway/v1/operations": "OperationService/StartOperation",
    "GET /gateway/v1/operations": "OperationService/ListOperations",
    "GET /gateway/v1/operations/{operation_id}": "OperationService/GetOperation",
    "POST /gateway/v1/operations/{operation_id}/abort": "OperationService/AbortOperation",
    "POST /gateway/v1/schedules": "ScheduleService/CreateSchedule",
    "GET /gateway/v1/schedules": "ScheduleService/ListSchedules",
    "GET /gateway/v1/schedules/{schedule_id}": "ScheduleService/GetSchedule",
    "PUT /gateway/v1/schedules/{schedule_id}": "ScheduleService/UpdateSchedule",
    "PATCH /gateway/v1/schedules/{schedule_id}": "ScheduleService/UpdateSchedule",
    "DELETE /gateway/v1/schedules/{schedule_id}": "ScheduleService/DeleteSchedule",
    "POST /gateway/v1/schedules/{schedule_id}/pause": "ScheduleService/PauseSchedule",
    "POST /gateway/v1/schedules/{schedule_id}/resume": "ScheduleService/ResumeSchedule",
    "POST /gateway/v1/schedules/{schedule_id}/run": "ScheduleService/RunSchedule",
    "POST /gateway/v1/schedules/{schedule_id}/backfill": "ScheduleService/BackfillSchedule",
    "GET /gateway/v1/schedules/{schedule_id}/next": "ScheduleService/ListScheduleTimes",
    "GET /gateway/v1/schedules/{schedule_id}/history": "ScheduleService/ListFirings",
    "GET /gateway/v1/callbacks": "CallbackService/ListCallbacks",
    "GET /gateway/v1/callbacks/{id}": "CallbackService/GetCallback",
    "POST /gateway/v1/callbacks/{id}/resend": "CallbackService/ResendCallback",
    "POST /gateway/v1/callbacks/resend": "CallbackService/ResendCallbacks",
    "POST /gateway/v1/tenants/{id}/webhook-secret": "CallbackService/RotateWebhookSecret",
    "GET /gateway/v1/tenants/{id}/webhook-secret": "CallbackService/ListWebhookSecrets",
    "GET /gateway/v1/migration/stages": "MigrationService/GetStages",
    "PUT /gateway/v1/migration/stages": "MigrationService/SetStage",
    "DELETE /gateway/v1/migration/stages": "MigrationService/UnsetStage",
    "PUT /gateway/v1/migration/stages/rollout": "MigrationService/SetRollout",
    "GET /gateway/v1/migration/stages/history": "MigrationService/ListStageChanges",
    "GET /gateway/v1/migration/stages/document": "MigrationService/GetFlagDocument",
    "PUT /gateway/v1/migration/stages/document": "MigrationService/ImportFlagDocument",
    "PUT /gateway/v1/migration/stages/overrides": "MigrationService/SetOverride",
    "DELETE /gateway/v1/migration/stages/overrides": "MigrationService/ClearOverride",
    "GET /gateway/v1/migration/stages/stream": "MigrationService/WatchStages",
    "GET /gateway/v1/tenants": "TenantService/ListTenants",
    "GET /gateway/v1/tenants/{tenant_id}": "TenantService/GetTenant",
    "PUT /gateway/v1/tenants/{tenant_id}": "TenantService/ChangeTenant",
    "GET /gateway/v1/tenants/{tenant_id}/quotas": "TenantService/ListQuotas",
    "PUT /gateway/v1/tenants/{tenant_id}/quotas": "TenantService/SetQuota",
    "DELETE /gateway/v1/tenants/{tenant_id}/quotas": "TenantService/ClearQuota",
    "GET /gateway/v1/audit": "AuditService/ListAuditEntries",
    "GET /gateway/v1/audit/events": "AuditService/ListAuditEvents",
    "GET /gateway/v1/keys": "KeyService/ListKeys",
    "POST /gateway/v1/keys": "KeyService/CreateKey",
    "GET /gateway/v1/keys/{key_id}": "KeyService/GetKey",
    "DELETE /gateway/v1/keys/{key_id}": "KeyService/RevokeKey",
    "POST /gateway/v1/keys/{key_id}/rotate": "KeyService/RotateKey",
    "GET /gateway/v1/pauses": "TenantService/ListPauses",
    "POST /gateway/v1/pauses": "TenantService/AddPause",
    "DELETE /gateway/v1/pauses/{pause_id}": "TenantService/RemovePause",
    "GET /gateway/v1/workers": "WorkerService/ListWorkers",
    "GET /gateway/v1/workers/{process_id}": "WorkerService/GetWorker",
    "POST /gateway/v1/workers/{process_id}/drain": "WorkerService/DrainWorker",
    "GET /gateway/v1/scale": "WorkerService/GetScale",
    "GET /gateway/v1/migration/ledger": "MigrationService/ListFlips",
    "GET /gateway/v1/migration/ledger/verification": "MigrationService/VerifyLedger",
    "GET /gateway/v1/tasks/{task_id}/why": "MigrationService/ExplainTask",
    "GET /gateway/v1/migration/drain": "MigrationService/Drain",
    "GET /gateway/v1/migration/parity": "MigrationService/GetParity",
    "POST /gateway/v1/migration/parity/gate": "MigrationService/AskParityGate",
    "GET /gateway/v1/migration/guardrails": "MigrationService/GetGuardrails",
    "PUT /gateway/v1/migration/guardrails": "MigrationService/SetGuardrail",
    "POST /gateway/v1/migration/guardrails/unlock": "MigrationService/UnlockGuardrail",
    "POST /gateway/v1/migration/guardrails/unfreeze": "MigrationService/UnfreezeGuardrails",
    "GET /gateway/v1/migration/guardrails/history": "MigrationService/ListGuardrailEvents",
    "GET /gateway/v1/migration/plans": "MigrationService/ListPlans",
    "GET /gateway/v1/migration/plans/schema": "MigrationService/GetPlanSchema",
    "POST /gateway/v1/migration/plans/validate": "MigrationService/ValidatePlan",
    "GET /gateway/v1/migration/plans/{name}": "MigrationService/GetPlan",
    "PUT /gateway/v1/migration/plans/{name}": "MigrationService/PutPlan",
    "POST /gateway/v1/migration/plans/{name}/acts": "MigrationService/ActOnPlan",
    "POST /gateway/v1/migration/plans/dry-run": "MigrationService/DryRunPlan",
    "POST /gateway/v1/migration/preview": "MigrationService/PreviewStages",
    "GET /gateway/v1/migration/drain/stream": "MigrationService/WatchDrain",
    "GET /gateway/v1/migration/parity/stream": "MigrationService/WatchParity",
    "GET /gateway/v1/migration/rampdown": "MigrationService/GetRampdown",
    "GET /gateway/v1/migration/rehearsal": "MigrationService/ListRehearsals",
    "GET /gateway/v1/migration/rehearsal/tasks": "MigrationService/ListRehearsedTasks",
    "GET /gateway/v1/migration/rehearsal/probes": "MigrationService/ListProbedTasks",
}
#: What only HTTP has, and why.
ONLY_HTTP = {
    "POST /gateway/v1/session": "sessions are for browsers",
    "GET /gateway/v1/session": "sessions are for browsers",
    "DELETE /gateway/v1/session": "sessions are for browsers",
    "GET /gateway/v1/news/stream": "tells pages of the console which of them to read again",
    "GET /gateway/v1/tasks/{task_id}/links": "addresses for a browser",
    "POST /api/v1/episodes/": "a shape of existing clients; gRPC submits the task type add_episode",
    "POST /api/v1/memories/": "writes a row of MemStack's own, for existing clients",
    "POST /api/v1/communities/rebuild": "a shape of existing clients; gRPC submits rebuild_communities",
    "POST /api/v1/maintenance/refresh/incremental": "a shape of existing clients; gRPC submits incremental_refresh",
    "POST /api/v1/maintenance/deduplicate": "a shape of existing clients; gRPC submits deduplicate_entities",
    "POST /api/v1/maintenance/optimize": "a shape of existing clients; gRPC submits each task by itself",
    "GET /health": "grpc.health.v1.Health with no service named",
    "GET /gateway/v1/ready": "grpc.health.v1.Health by service",
    "HEAD /health": "load balancers ask so",
    "HEAD /gateway/v1/ready": "load balancers ask so",
    "GET /gateway/v1/started": "grpc.health.v1.Health answers once it has started",
    "HEAD /gateway/v1/started": "load balancers ask so",
    "GET /gateway/v1/legacy-use": "about endpoints of existing clients, which are HTTP only",
    "GET /metrics": "Prometheus asks over HTTP",
    "GET /docs": "a page for people",
    "GET /docs/oauth2-redirect": "a page for people",
}

SERVICES = [
    service
    for proto in PROTOS
    for service in import_module(f"taskgate.v1.{Path(proto).stem}_pb2").DESCRIPTOR.services_by_name.values()
]


def test_each_endpoint_has_its_method(face: Any) -> None:
    routes = [route for route in create_app(face.gateway).routes if isinstance(route, APIRoute)]
    endpoints = {f"{method} {route.path}" for route in routes for method in route.methods or ()}
    methods = {f"{service.name}/{method.name}" for service in SERVICES for method in service.methods}

    assert endpoints == set(SAME) | set(ONLY_HTTP)
    assert methods == set(SAME.values())


def test_each_method_is_served(face: Any) -> None:
    for service in SERVICES:
        served = face.server.services[service.full_name].handlers(face.server.calls)
        assert set(served) == {method.name for method in service.methods}
