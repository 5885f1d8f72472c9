"""Plain tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest cell; None is shown as a dash, numbers to the right."""
    cells = [["–" if value is None else str(value) for value in row] for row in rows]
    widths = [max(len(line[column]) for line in (header, *cells)) for column in range(len(header))]
    to_right = [
        bool(rows) and all(isinstance(row[column], int | float | type(None)) for row in rows)
        for column in range(len(header))
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, to_right, strict=True)
        ).rstrip()
        for line in (list(header), *cells)
    )
