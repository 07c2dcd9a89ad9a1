"""Can a frame be judged? Its brightness, contrast, clipping and sharpness, compared with the training images.

A model that standardizes each image maps every constant image to the same input, so a covered lens may score
as good. Therefore each frame is checked before its score counts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from onlygood.runtime.model.metadata import Frames, Range

_TAIL = 0.01  # of the training images, left out on each side so that one bad image does not widen the range


@dataclass(frozen=True)
class Frame:
    """Statistics of one image; `Frames` explains the fields."""

    brightness: float
    contrast: float
    clipped: float
    sharpness: float


def measure(pixels: NDArray[np.uint8]) -> Frame:
    """Statistics of an image ``(H, W, C)`` at the model's size."""
    plane = gray(pixels)
    contrast = float(plane.std())
    across, down = np.abs(np.diff(plane, axis=1)), np.abs(np.diff(plane, axis=0))
    edges = float(across.mean() + down.mean()) / 2
    return Frame(
        brightness=float(plane.mean()),
        contrast=contrast,
        clipped=float(np.mean((plane == 0) | (plane == 255))),
        sharpness=edges / contrast if contrast > 0 else 0.0,
    )


def gray(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The mean of the channels of ``(H, W, C)``, to the bit numpy's own, in a tenth of the time."""
    total = pixels[..., 0].astype(np.uint16)
    for channel in range(1, pixels.shape[2]):
        total += pixels[..., channel]
    return total.astype(np.float32) / np.float32(pixels.shape[2])


def ranges(frames: Sequence[Frame]) -> Frames:
    """The range of each statistic over the training images, without 1 % of them on each side."""
    values = np.array([astuple(frame) for frame in frames])
    low, high = np.quantile(values, [_TAIL, 1 - _TAIL], axis=0)
    spans = {name: (float(a), float(b)) for name, a, b in zip(Frame.__annotations__, low, high, strict=True)}
    return Frames(**spans)


def objection(frame: Frame, good: Frames | None) -> str:
    """Why a frame cannot be judged, in plain words; "" if it can, or if the model has no ranges.

    The limits are far outside the ranges: on six public data sets they reject none of the held-out good
    images (docs/robustness.md says how often they find which fault).
    """
    return "" if good is None else next(_objections(frame, good), "")


def _objections(frame: Frame, good: Frames) -> Iterator[str]:
    """What is wrong with the frame, the clearest fault first."""
    dull, vivid = good.contrast
    if frame.contrast < dull / 2:
        yield f"nearly constant: contrast {frame.contrast:.1f} gray levels; {_usual(good.contrast, '.1f')}"
    if frame.clipped > good.clipped[1] + 0.15:
        yield f"clipped: {frame.clipped:.0%} of the pixels are black or white; {_usual(good.clipped, '.0%')}"
    dark, bright = good.brightness
    margin = max(10.0, (bright - dark) / 2)
    if frame.brightness < dark - margin:
        yield f"too dark: mean gray level {frame.brightness:.0f}; {_usual(good.brightness, '.0f')}"
    if frame.brightness > bright + margin:
        yield f"too bright: mean gray level {frame.brightness:.0f}; {_usual(good.brightness, '.0f')}"
    if frame.contrast > 2 * vivid:
        yield f"too much contrast: {frame.contrast:.1f} gray levels; {_usual(good.contrast, '.1f')}"
    blurred, sharp = good.sharpness
    if frame.sharpness < 0.6 * blurred:
        yield f"out of focus: sharpness {frame.sharpness:.3f}; {_usual(good.sharpness, '.3f')}"
    if frame.sharpness > 3 * sharp:
        yield f"noise: sharpness {frame.sharpness:.3f}; {_usual(good.sharpness, '.3f')}"


def _usual(span: Range, form: str) -> str:
    return f"good images have {span[0]:{form}} to {span[1]:{form}}"
