"""The SDK's own runtime, one per process; its log goes where all logs go."""

from __future__ import annotations

import functools
import logging

from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

LOGGER = "temporalio.sdk"


@functools.cache
def sdk_runtime() -> Runtime:
    """The runtime that every client of this process uses (left to itself, the SDK writes to standard output).

    What the SDK has to say about each queue's beginning and end is kept out of the log: a pool has hundreds.
    """
    logging.getLogger("temporalio.worker").setLevel(logging.WARNING)
    return Runtime(
        telemetry=TelemetryConfig(
            logging=LoggingConfig(
                filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
                forwarding=LogForwardingConfig(logger=logging.getLogger(LOGGER), append_target_to_name=False),
            )
        )
    )
