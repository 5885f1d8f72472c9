"""Which handlers a worker has: the four of MemStack, and those of plug-in modules (`TASKGATE_HANDLERS`)."""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from backends.errors import TaskgateError
from workers.handlers.add_episode import AddEpisodeHandler
from workers.handlers.base import TaskHandler, TaskRegistry
from workers.handlers.deduplicate_entities import DeduplicateEntitiesHandler
from workers.handlers.episode_steps import EPISODE_STEPS
from workers.handlers.incremental_refresh import IncrementalRefreshHandler
from workers.handlers.rebuild_communities import RebuildCommunitiesHandler

log = logging.getLogger(__name__)

BUILT_IN: tuple[type[TaskHandler], ...] = (
    AddEpisodeHandler,
    RebuildCommunitiesHandler,
    IncrementalRefreshHandler,
    DeduplicateEntitiesHandler,
    *EPISODE_STEPS,
)


class HandlerModuleError(TaskgateError):
    """A module of TASKGATE_HANDLERS cannot be used."""

    code = "handler_module"


def load_registry(modules: Sequence[str] = ()) -> TaskRegistry:
    """The built-in handlers, then those of each module; a later handler of a type replaces an earlier one.

    A module offers a function `register(registry)`, or classes or instances that look like handlers: `task_type`, a
    `process(payload, context)`, async or not, and perhaps `timeout_seconds` and `isolated`. Their base class does not
    matter, so a handler written against MemStack's own loads unchanged. Raises `HandlerModuleError`, which names the
    module.
    """
    if modules and (here := os.getcwd()) not in sys.path:
        # Last: a folder of a plug-in's author must not hide a package of ours.
        sys.path.append(here)
    registry = TaskRegistry()
    for built_in in BUILT_IN:
        registry.register(built_in())
    for name in modules:
        before = registry.get_all_handlers()
        _load(name, registry)
        after = registry.get_all_handlers()
        gained = sorted(task_type for task_type in after if after[task_type] is not before.get(task_type))
        if not gained:
            raise HandlerModuleError(
                f"Handler module {name!r} offers no handler: neither register(registry) nor a class or instance with "
                "task_type and process(payload, context)"
            )
        for task_type in gained:
            replaced = " in place of the one before" if task_type in before else ""
            log.info("handler of %s from module %s%s", task_type, name, replaced)
    return registry


def _load(name: str, registry: TaskRegistry) -> None:
    try:
        module = importlib.import_module(name)
    except Exception as error:
        reason = _clash(error) or f"{type(error).__name__}: {error}"
        raise HandlerModuleError(f"Handler module {name!r} cannot be imported: {reason}") from error
    register = getattr(module, "register", None)
    if callable(register) and not inspect.isclass(register):
        try:
            register(registry)
        except Exception as error:
            reason = _clash(error) or f"{type(error).__name__}: {error}"
            raise HandlerModuleError(f"register() of handler module {name!r} failed: {reason}") from error
        return
    for handler in _find(module):
        registry.register(handler)


def _clash(error: Exception) -> str | None:
    """The folder that the failed import may have meant, when another of its name was imported before it."""
    module = getattr(error, "obj", None)
    missed = getattr(error, "name", None) if isinstance(error, ImportError) else getattr(module, "__name__", None)
    name = str(missed or "").partition(".")[0]
    taken = sys.modules.get(name)
    places = getattr(taken, "__path__", None) or [getattr(taken, "__file__", None)]
    imported = [Path(place) for place in places if place]
    for meant in (Path(folder, file) for folder in sys.path for file in (name, f"{name}.py") if imported):
        if meant.exists() and meant.resolve() not in [place.resolve() for place in imported]:
            return f"{meant} is hidden by {imported[0]}, which has the same name; rename the former"
    return None


def _find(module: ModuleType) -> Iterator[TaskHandler]:
    """The handlers of a module: its instances, then one of each class that has none."""
    offered = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    instances = [value for value in offered.values() if not inspect.isclass(value) and _looks_like_handler(value)]
    yield from (_check(module, value) for value in instances)
    for key, value in offered.items():
        if not inspect.isclass(value) or inspect.isabstract(value) or not _looks_like_handler(value):
            continue
        if not _is_offered(key, value, module) or any(type(instance) is value for instance in instances):
            continue
        try:
            yield _check(module, value())
        except Exception as error:
            if any(inspect.isclass(other) and value in other.__mro__[1:] for other in offered.values()):
                continue  # the base of another handler, and none itself
            if isinstance(error, HandlerModuleError):
                raise
            raise HandlerModuleError(
                f"Handler {value.__name__} of module {module.__name__!r} cannot be made without arguments: {error}"
            ) from error


def _looks_like_handler(value: Any) -> bool:
    # Asks the class, because a property may raise; the instance for what its `__init__` set.
    named = hasattr(value if inspect.isclass(value) else type(value), "task_type") or (
        not inspect.isclass(value) and "task_type" in getattr(value, "__dict__", {})
    )
    return named and callable(getattr(value, "process", None))


def _is_offered(name: str, value: type, module: ModuleType) -> bool:
    """Whether a class belongs to the module, and is not imported for use (a base class, somebody else's handler)."""
    return (
        name in getattr(module, "__all__", ())
        or value.__module__ == module.__name__
        or value.__module__.startswith(module.__name__ + ".")
    )


def _check(module: ModuleType, handler: Any) -> TaskHandler:
    label = f"Handler {type(handler).__name__} of module {module.__name__!r}"
    task_type = getattr(handler, "task_type", None)
    if not isinstance(task_type, str) or not task_type:
        raise HandlerModuleError(f"{label} has no task_type: it must be a text, not {task_type!r}")
    return cast(TaskHandler, handler)
