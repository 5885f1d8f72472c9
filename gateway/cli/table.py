"""Plain tables for the terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence

_GAP = 2
#: What a column keeps when a table is wider than the terminal.
_NARROWEST = 5


def table(header: Sequence[str], rows: Sequence[Sequence[object]], width: int | None = None) -> str:
    """Columns as wide as their widest cell; None is shown as a dash, numbers to the right.

    `width` is the terminal's, when there is one: what does not fit is cut, the widest columns first and the first,
    which names a row, last. What goes elsewhere is written whole.
    """
    if width is None and sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
    cells = [["–" if value is None else str(value) for value in row] for row in rows]
    widths = [max(len(line[column]) for line in (header, *cells)) for column in range(len(header))]
    if width is not None:
        _narrow(widths, width - _GAP * (len(widths) - 1))
    to_right = [
        bool(rows) and all(isinstance(row[column], int | float | type(None)) for row in rows)
        for column in range(len(header))
    ]
    return "\n".join(
        "  ".join(
            _cut(cell, room).rjust(room) if right else _cut(cell, room).ljust(room)
            for cell, room, right in zip(line, widths, to_right, strict=True)
        ).rstrip()
        for line in (list(header), *cells)
    )


def _narrow(widths: list[int], room: int) -> None:
    """Take from the widest column until all fit, as far as they may."""
    for columns in (range(1, len(widths)), range(len(widths))):
        while sum(widths) > room and (wide := [column for column in columns if widths[column] > _NARROWEST]):
            widths[max(wide, key=widths.__getitem__)] -= 1


def _cut(cell: str, room: int) -> str:
    return cell if len(cell) <= room else f"{cell[: room - 1]}…"
