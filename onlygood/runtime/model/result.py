"""The result for one image, and how it and detectors show themselves in a notebook, readable in the dark too.

Nothing is loaded from anywhere, and no text of a file reaches the page as HTML.
"""

import base64
import io
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.heat import blended, on_image
from onlygood.runtime.images.reader import load_image
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.metadata import Metadata

_SHOWN = 240  # px, the longer side of a picture
_GOOD, _BAD = "#3a9bdc", "#e8743b"  # legible on white and on black
_FONT = "font-family:system-ui,sans-serif;font-size:13px;line-height:1.5"
_BARS, _WIDE, _HIGH = 30, 300, 60  # of the histogram: bars, and px


@dataclass(frozen=True, eq=False)
class Result:
    """The result for one image."""

    score: float  # higher is more anomalous
    p_value: float  # for the hypothesis that the image is good
    anomalous: bool  # by the score alone
    unusable: str  # why the model cannot judge the frame; "" if it can
    heatmap: NDArray[np.float32]  # (h, w), higher is more anomalous
    threshold: float  # above which a score is anomalous
    heat_range: tuple[float, float]  # values of heatmaps at which color begins, and at which it is full
    input: InputSpec  # what the model makes of an image before it looks
    path: Path | None = None  # the image's file, if it came from one

    def _repr_html_(self) -> str:
        return result_html(self)


def result_html(result: Result) -> str:
    """Verdict, score and p-value in words, beside the image with its heatmap, if its file is still there."""
    return (
        f'<div style="display:flex;gap:16px;align-items:flex-start;{_FONT}">'
        f"{_image(*_overlaid(result))}<div>{_verdict(result)}"
        f"<div>score {result.score:.4g}, threshold {result.threshold:.4g}</div>"
        f"<div>p = {result.p_value:.3g}: {in_words(result.p_value)}</div>"
        f"{_path(result)}</div></div>"
    )


def in_words(p_value: float) -> str:
    """``about 2 in 100 good images score as high``."""
    if p_value >= 0.5:
        return "most good images score as high"
    per = 100 if p_value >= 0.01 else 1000 if p_value >= 0.001 else 10_000
    return f"about {max(1, round(p_value * per))} in {per:,} good images score as high"


def detector_html(metadata: Metadata, sha256: str, limit: float) -> str:
    """What the model file is, what it promises, and the scores of the good images held out."""
    held_out = metadata.calibration
    channels = {1: "gray", 3: "color"}.get(metadata.input.channels, f"{metadata.input.channels} channels")
    parts, unit = held_out.parts(), "images" if held_out.groups is None else "parts"
    rows = {
        "images": f"{metadata.input.width} x {metadata.input.height} px, {channels}",
        "promise": f"at most {held_out.max_false_alarms:.2%} of good {unit} are flagged",
        "held out": f"{parts} good {unit}, on which the promise rests",
        "threshold": f"{limit:.6g}",
        "SHA-256": f"{sha256[:16]}…",
    }
    cells = "".join(
        f'<tr style="background:none"><th style="text-align:left;padding:1px 16px 1px 0">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    return (
        f'<div style="{_FONT}"><b>onlygood model {escape(metadata.name)}</b>'
        f'<table style="border-collapse:collapse;margin:4px 0;color:inherit;font:inherit">{cells}</table>'
        f"{_histogram(np.asarray(held_out.scores), limit)}</div>"
    )


def _verdict(result: Result) -> str:
    if result.unusable:
        color, words = _BAD, f"■ unusable: {result.unusable}"
    elif result.anomalous:
        color, words = _BAD, "▲ anomalous"
    else:
        color, words = _GOOD, "● good"
    return f'<div style="font-weight:bold;font-size:15px;color:{color}">{escape(words)}</div>'


def _path(result: Result) -> str:
    name = "" if result.path is None else str(result.path)
    return f'<div style="opacity:.7">{escape(name, quote=True)}</div>' if name else ""


def _overlaid(result: Result) -> tuple[NDArray[np.uint8], str]:
    """The heatmap over its image as the model sees it, or over plain gray; and what that is in words."""
    spec = result.input
    pixels, words = np.full((spec.height, spec.width, 3), 128, np.uint8), "heatmap"
    if result.path is not None:
        try:
            found = load_image(result.path, spec).pixels
            pixels, words = np.broadcast_to(found, pixels.shape), "image with its heatmap"
        except (ImageError, OSError, ValueError):  # moved since, or of other channels: the heatmap is left
            pass
    if result.heatmap.size == 1:  # of a recipe that looks at whole images: it says no place
        return pixels, "image"
    heat = on_image(result.heatmap, spec.width, spec.height, (0, 0, spec.width, spec.height))
    return blended(np.ascontiguousarray(pixels), heat, result.heat_range), words


def _image(pixels: NDArray[np.uint8], words: str) -> str:
    picture = Image.fromarray(pixels)
    picture.thumbnail((_SHOWN, _SHOWN))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{words}" width="{picture.width}" src="data:image/png;base64,{data}">'


def _histogram(scores: NDArray[np.float64], limit: float) -> str:
    """An SVG of the scores ``(n,)``, with a line at the threshold; bars beyond it are of the other color."""
    low, high = float(min(scores[0], limit)), float(max(scores[-1], limit))
    step = (high - low) / _BARS or 1.0
    places = np.clip(((scores - low) / step).astype(int), 0, _BARS - 1)
    above = scores > limit
    bars, most = [], max(1, int(np.bincount(places).max()))
    for color, some in ((_GOOD, places[~above]), (_BAD, places[above])):
        for place, count in zip(*np.unique(some, return_counts=True), strict=True):
            wide, high_px = _WIDE / _BARS, _HIGH * int(count) / most
            bars.append(
                f'<rect x="{place * wide:.1f}" y="{_HIGH - high_px:.1f}" width="{wide - 1:.1f}"'
                f' height="{high_px:.1f}" fill="{color}"/>'
            )
    x = min(_WIDE - 1.0, (limit - low) / step * _WIDE / _BARS)
    words = f"scores of {len(scores)} good images held out, and the threshold"
    return (
        f'<svg role="img" aria-label="{words}" width="{_WIDE}" height="{_HIGH}">'
        f'{"".join(bars)}<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{_HIGH}" stroke="currentColor"'
        f' stroke-width="1.5"/></svg><div style="opacity:.7">{words}</div>'
    )
