"""One worker process, as the supervisor starts it: `python -m workers.main --backend redis`."""

from __future__ import annotations

import argparse
import sys

from gateway.recovery.guard import join_supervisor
from gateway.running import importing, leave, run

with importing():
    from workers.handlers.loader import HandlerModuleError
    from workers.process import load, run_worker
    from workers.slots import slots_of
    from workers.supervisor import CANNOT_START


def main() -> None:
    """Until SIGTERM, or the end of its supervisor."""
    parser = argparse.ArgumentParser(prog="python -m workers.main")
    parser.add_argument("--backend", choices=("redis", "temporal"), required=True)
    parser.add_argument("--pool")
    parser.add_argument("--slots", help="a number, or `auto`; default: TASKGATE_WORKER_SLOTS")
    arguments = parser.parse_args()
    guard = join_supervisor()
    with importing():
        load(arguments.backend)
    code: object = 0
    try:
        run(
            lambda settings: run_worker(
                settings,
                arguments.backend,
                slots_of(arguments.slots or str(settings.worker_slots), settings.worker_slots),
                pool=arguments.pool,
                guard=guard,
            )
        )
    except SystemExit as exit_:
        code = exit_.code
    except HandlerModuleError as error:
        sys.stderr.write(f"taskgate: {error}\n")
        code = CANNOT_START
    leave(code)


if __name__ == "__main__":
    main()
