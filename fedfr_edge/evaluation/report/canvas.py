"""How figures look, and how they leave matplotlib: as SVG and PNG files, and as SVG for the page.

Colours are a few named ones (Okabe and Ito's palette, told apart with any colour vision; every model
also has its own dash and marker). On the page each becomes a CSS variable, so that the figures follow
the reader's light or dark scheme.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedfr_edge.errors import MissingPartError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1b1f24", "#68717b", "#d9dfe5", "#fefefe"
RIGHT, WRONG = "#00704f", "#b94a00"

COLOURS = {
    "ink": (INK, "#e8ecf0"),
    "muted": (MUTED, "#9aa4ae"),
    "grid": (GRID, "#353c44"),
    "paper": (PAPER, "#171b20"),
    "right": (RIGHT, "#35c79a"),
    "wrong": (WRONG, "#ff9c5a"),
    "series-0": ("#0072b2", "#56b4f0"),
    "series-1": ("#e69f00", "#f2bc4b"),
    "series-2": ("#d55e00", "#ff8847"),
    "series-3": ("#009e73", "#2fcf9f"),
    "series-4": ("#cc79a7", "#e7a5c8"),
    "series-5": ("#555b66", "#aab3c0"),
}
"""CSS variable -> (colour in light, colour in dark)."""

SERIES = [COLOURS[f"series-{i}"][0] for i in range(6)]
DASHES: list[Any] = ["-", (0, (6, 2)), (0, (4, 1.5, 1, 1.5)), (0, (2, 1.5)), (0, (8, 2, 2, 2)), (0, (1, 1))]
MARKERS = ["o", "s", "D", "^", "v", "P"]

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "mathtext.fontset": "dejavusans",
    "mathtext.default": "regular",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": PAPER,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": PAPER,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.9,
    "svg.fonttype": "path",
    "svg.hashsalt": "fedfr-edge",
}


@dataclass(frozen=True)
class Drawing:
    """A finished figure.

    Attributes:
        name: file name without ending, also the prefix of ids on the page.
        caption: what it shows, with its trial counts.
        svg: a whole SVG file, light colours.
        png: the same at 160 dpi.
    """

    name: str
    caption: str
    svg: bytes
    png: bytes

    @property
    def width(self) -> int:
        """How wide it is in CSS pixels where nothing scales it."""
        found = re.search(r'<svg [^>]*?\bwidth="([\d.]+)pt"', self.svg.decode())
        return round(float(found[1]) * 4 / 3) if found else 640

    def inline(self) -> str:
        """The SVG element for an HTML page: colours as CSS variables, ids of its own."""
        text = self.svg.decode()
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        # Several figures on one page would share matplotlib's ids ("axes_1", …).
        text = re.sub(r'\bid="', f'id="{self.name}-', text)
        text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{self.name}-", text)
        for variable, (light, _) in COLOURS.items():
            text = re.sub(re.escape(light), f"var(--{variable})", text, flags=re.IGNORECASE)
        # The page scales it: its own size in points becomes an upper bound.
        text = re.sub(r'(<svg [^>]*?)\bwidth="[^"]*"', r"\1", text, count=1)
        return re.sub(r'(<svg [^>]*?)\bheight="[^"]*"', r'\1role="img"', text, count=1)


@contextmanager
def styled() -> Iterator[None]:
    """Our style, for this block only; matplotlib's global settings are as before afterwards.

    Raises:
        MissingPartError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise MissingPartError(
            "a report needs matplotlib, which is not installed; install it with "
            "pip install 'fedfr-edge[report]'"
        ) from error
    with matplotlib.rc_context(_STYLE):
        yield


def draw(name: str, caption: str, size: tuple[float, float], fill: Callable[[Figure], None]) -> Drawing:
    """Make a figure of ``size`` inches, let ``fill`` draw on it, and save it in both forms.

    No global state: the figure belongs to no window system and to no list of open figures.
    """
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=size, layout="constrained")
        fill(figure)
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        figure.savefig(png, format="png", dpi=160, metadata={"Software": None})
    return Drawing(name, caption, svg.getvalue(), png.getvalue())


def shown_name(name: str) -> str:
    """A model's name with matplotlib's subscripts: ``Θ_g`` as ``Θ$_{g}$``; dollars are escaped."""
    return re.sub(r"([ΘΠΦ])_(\w)", r"\1$_{\2}$", name.replace("$", r"\$"))


def colour(place: int) -> str:
    """Colour of the model at ``place``."""
    return SERIES[place % len(SERIES)]
