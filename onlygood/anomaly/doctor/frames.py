"""Pictures that show nothing, or not what the others show: constant, dark, clipped, blurred, noisy."""

from collections.abc import Iterator
from dataclasses import astuple

import numpy as np
from numpy.typing import NDArray

from onlygood.anomaly.doctor.findings import Finding, Material
from onlygood.runtime.model.frames import Frame, measure, objection
from onlygood.runtime.model.metadata import Frames

_TAIL = 0.05  # of the images on each side that do not say what is usual
_FEWEST = 8  # images of which something is usual
_FLAT = 3.0  # gray levels of contrast, below which there is little to see
_DARK, _BRIGHT = 12.0, 243.0  # gray levels at the mean
_CLIPPED = 0.6  # of the pixels
_GRADES = (
    "nearly constant",
    "clipped",
    "too dark",
    "too bright",
    "too much contrast",
    "out of focus",
    "noise",
)


def examine_frames(material: Material) -> Iterator[Finding]:
    """Findings about single frames that differ from the others, and about all of them."""
    ids = material.looked_at
    frames = [measure(material.store.batch(np.array([i]))[0]) for i in ids]
    yield from _all_alike(frames)
    if len(frames) < _FEWEST:
        return
    usual = usual_frames(frames)
    reasons = {int(i): objection(frame, usual) for i, frame in zip(ids, frames, strict=True)}
    for grade in _GRADES:
        odd = [i for i, reason in reasons.items() if reason.startswith(grade)]
        if odd:
            yield Finding(
                f"frames: {grade}",
                "problem" if grade in ("nearly constant", "out of focus") else "warning",
                f"{len(odd)} of {len(ids)} images: {reasons[odd[0]]}",
                "the model learns that such frames are good and will pass them on the line, where they hide "
                "defects; held out, they raise the threshold",
                "look at them; leave them out (move them away, or list them for --exclude) unless the line "
                "really gives such good images",
                material.names(odd),
                len(odd),
            )


def usual_frames(frames: list[Frame]) -> Frames:
    """The range of each statistic over the images without the extreme ones, at least one on each side.

    `ranges` leaves out 1 % of training images; of some dozens that is none, and the odd one would make
    itself usual.
    """
    values: NDArray[np.float64] = np.sort(np.array([astuple(frame) for frame in frames]), axis=0)
    out = max(1, round(_TAIL * len(values)))
    low, high = values[out], values[-1 - out]
    spans = {name: (float(a), float(b)) for name, a, b in zip(Frame.__annotations__, low, high, strict=True)}
    return Frames(**spans)


def _all_alike(frames: list[Frame]) -> Iterator[Finding]:
    """What is wrong with most of the images, which nothing in the folder can be compared with."""
    contrast, brightness, clipped = (
        float(np.median([getattr(frame, name) for frame in frames]))
        for name in ("contrast", "brightness", "clipped")
    )
    if contrast < _FLAT:
        yield Finding(
            "nothing to see",
            "problem",
            f"half of the images have a contrast below {contrast:.1f} gray levels",
            "there is nothing in them to learn from: noise and rounding are all that differs",
            "check lens cap, light and exposure; for 16-bit files the depth: --set input.bit_depth=12",
        )
    elif not _DARK <= brightness <= _BRIGHT:
        yield Finding(
            "exposure",
            "warning",
            f"the mean gray level of the median image is {brightness:.0f} of 255",
            "most of the camera's range is unused: noise is large where defects would have to be seen",
            "change exposure or light; for 16-bit files check the depth: --set input.bit_depth=12",
        )
    if clipped > _CLIPPED:
        yield Finding(
            "clipping",
            "warning",
            f"in half of the images {clipped:.0%} of the pixels or more are pure black or white",
            "no defect can be seen in pixels that are clipped",
            "change the exposure, or look only at the part: fit --roi",
        )
