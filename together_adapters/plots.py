"""What plots share: kinds of pictures, colours, and files that are written atomically, with the same bytes for the same data."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from math import ceil, log10
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from together_adapters._lazy import require
from together_adapters.atomic_files import new_files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS: Final = (".png", ".svg", ".pdf")
_MAX_STEPS: Final = 6
_ROUNDING: Final = 1e-6
BLUE, PALE, RED, AMBER, GREY, INK = "#4c72b0", "#a9bcdc", "#c44e52", "#dd9f3d", "#9a9a9a", "#333333"


def check_picture(path: Path) -> None:
    """Raises the errors of `save_figure` before there is anything to plot: ValueError, and ImportError without matplotlib."""
    if path.suffix.lower() not in KINDS:
        raise ValueError(f"{path.name} ends in none of {', '.join(KINDS)}")
    require_matplotlib()


def require_matplotlib() -> None:
    """Raises an ImportError that names the extra if matplotlib is not installed."""
    require("plotting", "plots", "matplotlib")


def save_figure(figure: Figure, path: str | PathLike[str], *, overwrite: bool) -> None:
    """Saves a figure as the kind of picture that the path names."""
    path = Path(path)
    content = _render(figure, path.suffix.lower())
    with new_files({path: overwrite}) as (draft,):
        draft.write_bytes(content)


def set_style(axes: Axes, title: str) -> None:
    """Sets the title of axes, and their lines and labels in quiet colours."""
    axes.set_title(title, loc="left", fontsize=10, color=INK, fontweight="bold", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#cccccc")
    axes.tick_params(colors=INK, labelsize=9, length=0)


def round_values(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Returns values for the ticks of an axis: few round ones, whole ones if that is wanted."""
    from matplotlib.ticker import MaxNLocator

    locator = MaxNLocator(nbins=_MAX_STEPS, steps=[1, 2, 5, 10], integer=whole)
    return [float(value) for value in locator.tick_values(low, high) if low <= value <= high]


def step_digits(values: Sequence[float]) -> int:
    """Returns how many digits after the point tell such values apart: none, or at least two."""
    step = min((after - before for before, after in pairwise(values)), default=1.0)
    return 0 if step >= 1 else max(2, ceil(-log10(step) - _ROUNDING))


def _render(figure: Figure, suffix: str) -> bytes:
    """Returns the bytes of a picture, without dates and random ids."""
    import matplotlib as mpl

    metadata: Any = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}, ".pdf": {"CreationDate": None}}
    output = BytesIO()
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "together-adapters", "font.family": "DejaVu Sans"}):
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # a name in a script that the font does not have
        figure.savefig(output, format=suffix[1:], dpi=150, metadata=metadata[suffix])
    return output.getvalue()
