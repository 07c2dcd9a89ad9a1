"""How all figures look, and how they are written.

Colors are those of Okabe and Ito, which color-blind people can distinguish, and color is never the only sign.
Figures are made without pyplot, so that nothing global changes.
"""

import warnings
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from onlygood.runtime.atomic import replacing

GOOD, BAD, LINE, QUIET = "#0072B2", "#D55E00", "#222222", "#8A8A8A"

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": LINE,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": LINE,
    "ytick.labelcolor": LINE,
    "figure.dpi": 150,
    "text.parse_math": False,  # a name with two dollar signs is no formula
    "savefig.facecolor": "white",
}


def cut(name: str, length: int) -> str:
    """The end of a long name, which distinguishes files more often than the beginning."""
    return name if len(name) <= length else "…" + name[1 - length :]


def save(figure: Figure, path: Path) -> None:
    """Write without creation date or version, so that equal pictures are equal files."""
    with warnings.catch_warnings(), replacing(path) as temporary:
        # Names may be in scripts that the font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})
