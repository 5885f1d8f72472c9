"""What a run does next: decided without servers."""

from __future__ import annotations

from typing import Any

from workers.temporal.dag.state import RunState


def node(name: str, needs: list[int], **more: Any) -> list[Any]:
    return [
        name,
        needs,
        more.get("fan", False),
        more.get("width", 100),
        more.get("on_failure", "fail"),
        more.get("undoes", False),
        more.get("if_skipped", "auto"),
    ]


def state_of(*nodes: list[Any], most: int = 1000, **more: Any) -> RunState:
    snapshot = {"states": {}, "fans": {}, "finished": [], "undone": [], **more}
    return RunState({"nodes": list(nodes), "max_parallel": most, **snapshot})


def step(state: RunState, *answers: list[Any]) -> list[list[Any]]:
    requests = state.next_requests()
    state.opened(requests, list(answers) or [["o"]] * len(requests))
    return requests


def test_a_diamond() -> None:
    state = state_of(node("a", []), node("b", [0]), node("c", [0]), node("d", [1, 2]))
    assert step(state) == [["a", "open"]]
    assert state.next_requests() == []
    state.ended([["a", None, "c", False], ["a", None, "f", False]])  # told twice: the first word counts
    assert step(state) == [["b", "open"], ["c", "open"]]
    state.ended([["c", None, "c", False]])
    assert state.next_requests() == []
    state.ended([["b", None, "c", False]])
    assert step(state) == [["d", "open"]]
    state.ended([["d", None, "c", False]])
    assert state.is_over
    assert not state.is_failing


def test_items_keep_to_the_width() -> None:
    state = state_of(node("f", [], fan=True, width=3), node("g", [0]))
    assert step(state, ["n", 7]) == [["f", "open"]]
    assert step(state, ["i", [], []]) == [["f", "items", 0, 3]]
    assert state.next_requests() == []
    state.ended([["f", 1, "c", False]])
    assert step(state, ["i", [], []]) == [["f", "items", 3, 4]]
    state.ended([["f", n, "c", False] for n in (0, 2, 3)])
    assert step(state, ["i", [5], [4]]) == [["f", "items", 4, 7]]
    assert state.is_failing  # one could not be opened
    state.ended([["f", 6, "c", False]])
    assert state.is_over


def test_thousands_are_opened_in_parts() -> None:
    state = state_of(node("f", [], fan=True, width=1000))
    step(state, ["n", 1000])
    parts = [step(state, ["i", [], []])[0][2:] for _ in range(4)]
    assert parts == [[0, 250], [250, 500], [500, 750], [750, 1000]]


def test_skipped_branches_join() -> None:
    state = state_of(node("a", []), node("b", [0]), node("c", [1]), node("d", [0, 2]), node("e", [2], if_skipped="run"))
    step(state)
    state.ended([["a", None, "c", False]])
    assert step(state, ["s"]) == [["b", "open"]]
    assert step(state, ["s"]) == [["c", "skip"]]
    assert step(state) == [["d", "open"], ["e", "open"]]


def test_a_failure_lets_the_rest_end_and_opens_nothing() -> None:
    state = state_of(node("a", []), node("b", []), node("c", [1]), node("d", [], on_failure="continue"))
    step(state)
    state.ended([["d", None, "f", False], ["a", None, "f", False], ["b", None, "c", False]])
    assert state.next_requests() == []
    assert state.is_over
    assert state.is_failing
    assert not state.compensates


def test_a_run_that_goes_on_knows_what_was_done() -> None:
    state = state_of(
        node("a", []),
        node("f", [0], fan=True),
        node("z", [1]),
        states={"a": "c", "f": "o"},
        fans={"f": [5, 4, [2], [1], 0]},
        finished=["a"],
    )
    assert step(state, ["i", [], []]) == [["f", "again", [1]]]
    assert step(state, ["i", [], []]) == [["f", "items", 4, 5]]
    state.ended([["f", n, "c", False] for n in (1, 2, 4)])
    assert step(state) == [["z", "open"]]


def test_undoing_goes_backwards() -> None:
    state = state_of(
        node("a", [], undoes=True), node("b", [0]), node("c", [1], undoes=True), node("d", [2], on_failure="compensate")
    )
    for name in "abc":
        step(state)
        state.ended([[name, None, "c", False]])
    step(state)
    state.ended([["d", None, "f", False]])
    assert state.compensates
    assert state.next_undoing() == "c"
    state.undoing("c", [None])
    assert state.is_undoing
    state.ended([["c", None, "c", True]])
    assert not state.is_undoing
    assert state.next_undoing() == "a"
    state.undoing("a", [])
    assert state.next_undoing() is None


def test_a_fan_out_is_undone_when_one_item_of_it_was_completed() -> None:
    state = state_of(
        node("a", [], undoes=True),
        node("f", [], undoes=True, fan=True, on_failure="compensate"),
        node("b", [], undoes=True),
    )
    step(state, ["o"], ["n", 3], ["o"])
    step(state, ["i", [], []])
    # Among the others it stands where its last item was completed.
    state.ended([["f", 0, "c", False], ["a", None, "c", False], ["f", 1, "c", False]])
    state.ended([["f", 2, "f", False], ["b", None, "c", False]])
    assert state.is_over
    assert state.compensates
    state.undoes_items = True
    undone = []
    while (name := state.next_undoing()) is not None:
        undone.append(name)
        state.undoing(name, [])
    assert undone == ["b", "f", "a"]


def test_a_new_history_undoes_in_the_same_order() -> None:
    state = state_of(
        node("f", [], undoes=True, fan=True),
        node("a", [0], undoes=True),
        node("b", [1], on_failure="compensate"),
        states={"f": "o", "a": "c", "b": "f"},
        fans={"f": [2, 2, [], [], 0]},
        finished=["f", "a"],
    )
    state.undoes_items = True
    assert [state.next_undoing(), state.next_undoing(), state.next_undoing()] == ["a", "f", None]


def test_a_fan_out_of_which_no_item_was_completed_is_not_undone() -> None:
    state = state_of(node("f", [], undoes=True, fan=True, on_failure="compensate"))
    step(state, ["n", 1])
    step(state, ["i", [], []])
    state.ended([["f", 0, "f", False]])
    state.undoes_items = True
    assert state.next_undoing() is None


def test_what_was_undone_by_older_releases_is_what_they_took_for_completed() -> None:
    """Their histories are replayed: a fan-out with a failed item is none of it."""
    state = state_of(node("a", [], undoes=True), node("f", [0], undoes=True, fan=True, on_failure="compensate"))
    step(state)
    state.ended([["a", None, "c", False]])
    step(state, ["n", 2])
    step(state, ["i", [], []])
    state.ended([["f", 0, "c", False], ["f", 1, "f", False]])
    assert state.next_undoing() == "a"
    state.undoing("a", [])
    assert state.next_undoing() is None


def test_items_of_an_earlier_start_wait_for_what_runs_again_before_them() -> None:
    def retried() -> RunState:
        return state_of(
            node("first", []),
            node("book", [0], fan=True),
            node("last", [1]),
            states={"book": "o"},
            fans={"book": [2, 2, [], [0, 1], 0]},
        )

    state = retried()
    state.items_wait_for_needs = True
    assert step(state) == [["first", "open"]]
    state.ended([["first", None, "c", False]])
    assert step(state, ["i", [], []]) == [["book", "again", [0, 1]]]
    # Histories of older releases go on without this.
    assert step(retried(), ["i", [], []], ["o"]) == [["book", "again", [0, 1]], ["first", "open"]]
