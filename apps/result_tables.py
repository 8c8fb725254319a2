"""Result tables on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from . import console

if TYPE_CHECKING:
    from fedfr_edge.evaluation.tables import Table


def print_table(table: Table, *, turned: bool = True) -> None:
    """Print one model per column, so that a handful of models fits on any terminal; or as it stands."""
    shown = table.transposed() if turned else table
    # Text, not str: a model called [Θ_l, Π_l] must not be read as markup.
    drawn = RichTable(box=SIMPLE_HEAD, title=Text(shown.title, style="bold"), title_justify="left")
    for place, cell in enumerate(shown.header):
        drawn.add_column(Text(cell), justify="right" if place else "left")
    for row in shown.rows:
        drawn.add_row(*map(Text, row))
    console.out.print(drawn)
    for note in shown.notes:
        console.out.print(Text(note))
    console.out.print()
