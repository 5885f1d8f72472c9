"""Which handlers a worker has."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from workers.handlers.loader import HandlerModuleError, load_registry

Write = Callable[[str, str], None]

BASE = """
    from abc import ABC, abstractmethod

    class TaskHandler(ABC):
        @property
        @abstractmethod
        def task_type(self): ...

        @property
        def timeout_seconds(self):
            return 600

        @abstractmethod
        async def process(self, payload, context): ...
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a module that can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, text: str) -> None:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    return write


def test_the_four_of_memstack_with_their_timeouts() -> None:
    handlers = load_registry().get_all_handlers()
    whole = {name: handler for name, handler in handlers.items() if not name.startswith("episode.")}

    assert {task_type: handler.timeout_seconds for task_type, handler in whole.items()} == {
        "add_episode": 600,
        "rebuild_communities": 3600,
        "incremental_refresh": 3600,
        "deduplicate_entities": 1800,
    }


def test_classes_with_a_base_of_their_own(write: Write) -> None:
    write("plug_base", BASE)
    write(
        "plug_classes",
        """
        from plug_base import TaskHandler

        class _Common(TaskHandler):
            async def process(self, payload, context):
                context.seen = payload

        class Report(_Common):
            task_type = "report"

        class Export(_Common):
            @property
            def task_type(self):
                return "export"

            @property
            def timeout_seconds(self):
                return 5
        """,
    )
    registry = load_registry(["plug_classes"])

    assert registry.get_handler("report") is not None
    export = registry.get_handler("export")
    assert export is not None
    assert export.timeout_seconds == 5


def test_a_class_without_any_base_and_no_timeout(write: Write) -> None:
    write(
        "plug_plain",
        """
        class Plain:
            task_type = "plain"
            async def process(self, payload, context): ...
        """,
    )

    assert type(load_registry(["plug_plain"]).get_handler("plain")).__name__ == "Plain"


def test_instances_are_taken_as_they_are(write: Write) -> None:
    write(
        "plug_instance",
        """
        class Sized:
            def __init__(self, size):
                self.size = size
                self.task_type = f"sized-{size}"
            async def process(self, payload, context): ...

        small, large = Sized(1), Sized(9)
        """,
    )
    handlers = load_registry(["plug_instance"]).get_all_handlers()

    assert {"sized-1", "sized-9"} <= set(handlers)


def test_a_module_that_registers_itself(write: Write) -> None:
    write(
        "plug_register",
        """
        class Hidden:
            task_type = "hidden"
            async def process(self, payload, context): ...

        class Unused(Hidden):
            task_type = "unused"

        def register(registry):
            registry.register(Hidden())
        """,
    )
    handlers = load_registry(["plug_register"]).get_all_handlers()

    assert "hidden" in handlers
    assert "unused" not in handlers


def test_a_package_offers_what_it_exports(write: Write) -> None:
    write("plug_package.inner", 'class Inner:\n    task_type = "inner"\n    async def process(self, p, c): ...\n')
    write("plug_package.__init__", "from plug_package.inner import Inner\n")

    assert load_registry(["plug_package"]).get_handler("inner") is not None


def test_a_plug_in_replaces_a_built_in_handler(write: Write) -> None:
    write("plug_own", 'class Own:\n    task_type = "add_episode"\n    async def process(self, p, c): ...\n')

    assert type(load_registry(["plug_own"]).get_handler("add_episode")).__name__ == "Own"


def test_a_concrete_base_that_names_no_type_is_no_handler(write: Write) -> None:
    write(
        "plug_bases",
        """
        class Base:
            @property
            def task_type(self):
                raise RuntimeError("subclasses say")
            async def process(self, payload, context): ...

        class Real(Base):
            task_type = "real"
        """,
    )

    assert load_registry(["plug_bases"]).get_handler("real") is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "offers no handler"),
        ("from plug_errors_base import TaskHandler", "offers no handler"),
        ("def register(registry): pass", "offers no handler"),
        ("import does_not_exist_anywhere", "cannot be imported: ModuleNotFoundError"),
        ("raise RuntimeError('boom')", "cannot be imported: RuntimeError: boom"),
        ("def register(registry): raise RuntimeError('boom')", r"register\(\).*RuntimeError: boom"),
        ("class A:\n    task_type = 7\n    async def process(self, p, c): ...", "A .*no task_type.*7"),
        (
            "class A:\n    task_type = 'a'\n    def __init__(self, x): ...\n    async def process(self, p, c): ...",
            "A .*without arguments",
        ),
    ],
)
def test_an_error_names_the_module(write: Write, text: str, message: str, request: pytest.FixtureRequest) -> None:
    name = f"plug_error_{abs(hash(request.node.name))}"
    write("plug_errors_base", BASE)
    write(name, text)

    with pytest.raises(HandlerModuleError, match=f"{name}.*{message}|{message}.*{name}|{message}"):
        load_registry([name])


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(HandlerModuleError, match="'no_such_module_at_all' cannot be imported"):
        load_registry(["no_such_module_at_all"])
