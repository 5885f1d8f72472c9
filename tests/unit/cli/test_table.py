"""Tables for people: whole where nobody looks, cut where a terminal is narrower."""

from __future__ import annotations

from gateway.cli.table import table

HEADER = ("id", "type", "error")
ROWS = [["7f0c1f2e-aaaa", "add_episode", "x" * 100], ["b", None, "short"]]


def test_it_is_whole_when_there_is_no_terminal() -> None:
    assert "x" * 100 in table(HEADER, ROWS)


def test_it_fits_the_terminal_and_keeps_what_names_a_row() -> None:
    lines = table(HEADER, ROWS, width=40).splitlines()
    assert max(map(len, lines)) == 40
    assert lines[1].startswith("7f0c1f2e-aaaa  ")
    assert lines[1].endswith("x…")
    assert lines[2].split() == ["b", "–", "short"]


def test_the_first_column_gives_way_last() -> None:
    lines = table(HEADER, ROWS, width=22).splitlines()
    assert max(map(len, lines)) <= 22
    assert lines[1].startswith("7f0c")
