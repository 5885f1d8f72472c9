"""What is wrong with a plan is said at once, each fault with its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.access.placement import Tier
from gateway.migration.plans.document import json_schema, read_plan
from gateway.migration.plans.errors import PlanInvalid
from gateway.migration.plans.validation import Checked, World, check_plan

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
TIERS = {
    "acme": Tier.ENTERPRISE,
    "globex": Tier.VIP,
    "initech": Tier.STANDARD,
    **{f"t{n:03}": Tier.STANDARD for n in range(99)},
}
HEAD = "name: spring\nwhy: the move\n"


def checked(text: str, **world: Any) -> Checked:
    document, plan = read_plan(HEAD + text)
    return check_plan(document, plan, World(NOW, TIERS, **{"taken": {}, **world}))


def faults(text: str, **world: Any) -> list[tuple[str, str, int | None]]:
    with pytest.raises(PlanInvalid) as caught:
        checked(text, **world)
    return [(one.code, one.place, one.line) for one in caught.value.faults]


def message(text: str, **world: Any) -> str:
    with pytest.raises(PlanInvalid) as caught:
        checked(text, **world)
    return caught.value.faults[0].message


def test_waves_take_their_tenants_by_name_tier_and_percentage() -> None:
    found = checked(
        "waves:\n"
        "- {name: pilot, tenants: [acme]}\n"
        "- {tier: standard, percent: 5}\n"
        "- {tier: standard, percent: 25}\n"
        "- {tier: vip}\n"
        "- {percent: 100}\n"
    )
    assert [len(wave) for wave in found.waves] == [1, 5, 20, 1, 75]
    assert sorted(one for wave in found.waves for one in wave) == sorted(TIERS)
    assert (
        found.waves
        == checked(
            "waves: [{tenants: [acme]}, {tier: standard, percent: 5}, {tier: standard, percent: 25}, {tier: vip},"
            " {percent: 100}]"
        ).waves
    )


def test_every_fault_of_the_form_is_named_with_its_line() -> None:
    text = "stage: alive\nbake: soon\nwaves:\n- {tenants: [acme], colour: red}\n- {}\n"
    with pytest.raises(PlanInvalid) as caught:
        read_plan(HEAD + text)
    assert [(one.code, one.place, one.line) for one in caught.value.faults] == [
        ("schema", "/stage", 3),
        ("schema", "/bake", 4),
        ("unknown_field", "/waves/0/colour", 6),
        ("schema", "/waves/1", 7),
    ]


@pytest.mark.parametrize("percent", ["0.0005", "33.3333"])
def test_a_percentage_of_tasks_is_no_finer_than_a_weight_of_the_flag(percent: str) -> None:
    with pytest.raises(PlanInvalid) as caught:
        read_plan(f"{HEAD}waves: [{{tasks_percent: {percent}}}]")
    assert [one.place for one in caught.value.faults] == ["/waves/0/tasks_percent"]
    for fine in ("0.001", "0.003", "33.333", "57.001", "99.999", "100"):
        read_plan(f"{HEAD}waves: [{{tasks_percent: {fine}}}]")


@pytest.mark.parametrize(
    ("text", "place"),
    [("waves: [", ""), ("why: again\nwaves: []", "/why")],
)
def test_what_is_no_plan_is_said_with_a_place(text: str, place: str) -> None:
    with pytest.raises(PlanInvalid) as caught:
        read_plan(HEAD + text)
    assert caught.value.faults[0].place == place
    assert caught.value.faults[0].line is not None


def test_a_time_without_quotes_says_how_it_is_written() -> None:
    with pytest.raises(PlanInvalid) as caught:
        read_plan(HEAD + "windows: [{from: 22:00, to: '06:00'}]\nwaves: [{percent: 5}]")
    assert [(one.place, '"22:00"' in one.message) for one in caught.value.faults] == [("/windows/0/from", True)]


def test_a_number_is_no_date() -> None:
    with pytest.raises(PlanInvalid) as caught:
        read_plan(HEAD + "freeze: [{from: 5, to: 2026-12-24}]\nwaves: [{percent: 5}]")
    assert [(one.place, "2026-12-24" in one.message) for one in caught.value.faults] == [("/freeze/0/from", True)]


def test_an_unknown_tenant_stands_with_its_place() -> None:
    assert faults("waves:\n- tenants:\n  - acme\n  - nobody\n") == [("unknown_tenant", "/waves/0/tenants/1", 6)]


def test_overlapping_waves_are_named() -> None:
    assert faults("waves:\n- tenants: [acme, globex]\n- tenants: [globex]\n- {tier: vip}\n") == [
        ("overlap", "/waves/1/tenants/0", 5),
        ("overlap", "/waves/2", 6),
    ]
    assert faults("waves:\n- {percent: 25}\n- {percent: 5}\n") == [("overlap", "/waves/1", 5)]
    assert faults("waves:\n- {tasks_percent: 25}\n- {tasks_percent: 25}\n") == [
        ("overlap", "/waves/1/tasks_percent", 5)
    ]


def test_percentages_of_tasks_have_one_stage_until_all_are_moved() -> None:
    first = "waves:\n- {tasks_percent: 25}\n"
    assert faults(f"{first}- {{tasks_percent: 50, stage: rampdown}}\n") == [("overlap", "/waves/1/tasks_percent", 5)]
    checked(f"{first}- {{tasks_percent: 50}}\n- {{tasks_percent: 100, stage: rampdown}}\n")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("stage: shadow\ngates: {parity: {}}\nwaves: [{percent: 5}]", "/gates/parity"),
        ("waves: [{percent: 5, stage: dualwrite, gates: {drain: drained}}]", "/waves/0/gates/drain"),
        ("waves: [{tasks_percent: 5, gates: {parity: {}}}]", "/waves/0/gates/parity"),
        ("stage: complete\ngates: {parity: {}}\nwaves: [{percent: 5}]", "/gates/parity"),
        ("waves: [{percent: 5, stage: complete, gates: {parity: {}}}]", "/waves/0/gates/parity"),
        ("windows: [{from: '08:00', to: '08:00'}]\nwaves: [{percent: 5}]", "/windows/0"),
        ("freeze: [{from: 2026-12-24, to: 2026-12-20}]\nwaves: [{percent: 5}]", "/freeze/0/to"),
        ("freeze: [{from: 2026-11-01, to: 2029-01-01}]\nwaves: [{percent: 5}]", "/freeze"),
    ],
)
def test_a_gate_that_can_never_pass_is_a_fault(text: str, place: str) -> None:
    found = faults(text)
    assert [(code, at) for code, at, _ in found] == [("impossible_gate", place)]


def test_two_plans_over_one_tenant_are_refused() -> None:
    text = "waves: [{tenants: [acme, globex]}]"
    assert faults(text, taken={"acme": "autumn"}) == [("taken", "/waves/0", 3)]
    assert message(text, taken={"acme": "autumn"}) == (
        'plan autumn is under way and moves acme, too: end it first (taskgate migration plan abort autumn --why "…")'
    )
    assert faults("waves: [{tasks_percent: 5}]", sharing="autumn") == [("taken", "/waves/0", 3)]


def test_the_published_schema_is_that_of_the_models() -> None:
    published = Path(__file__).parents[4] / "docs" / "plan.schema.json"
    assert json.loads(published.read_text()) == json_schema()
