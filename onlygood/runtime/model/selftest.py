"""The self-test inside a model file: images that every device can compute, and their scores.

The images are integer formulas without random or floating-point numbers, so that they are the same bytes on
any machine and with any library version.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlygood.runtime.errors import ModelError
from onlygood.runtime.images.spec import InputSpec


def generated_images(spec: InputSpec, count: int = 4) -> NDArray[np.uint8]:
    """``(count, H, W, C)`` images: ramps, checkers, rings and dither in turn, finer each time."""
    return np.stack([generated_image(spec, index) for index in range(count)])


def generated_image(spec: InputSpec, index: int) -> NDArray[np.uint8]:
    """Image number ``index``, ``(H, W, C)``."""
    y, x, channel = np.ogrid[: spec.height, : spec.width, : spec.channels]
    finer = index // 4 + 1
    match index % 4:
        case 0:
            image = finer * (x * 255 // spec.width + y * 128 // spec.height) + 40 * channel
        case 1:
            image = (x * finer // 4 + y * finer // 4 + channel) % 2 * 200 + 20
        case 2:
            image = ((2 * x - spec.width) ** 2 + (2 * y - spec.height) ** 2) * finer // 64 + 85 * channel
        case _:
            image = (x * 7919 + y * 104729 + channel * 1299709 + finer) * 2654435761 % 2**32 // 2**24
    eight: NDArray[np.uint8] = (image % 256).astype(np.uint8)
    return eight


def replay(scores: NDArray[Any], expected: Sequence[float], tolerance: float) -> float:
    """Largest deviation of this device's ``scores`` ``(n,)``, relative to the largest expected magnitude.

    Raises:
        ModelError: it is above ``tolerance``, or a score is not a number.
    """
    wanted = np.asarray(expected, np.float64)
    if scores.shape != wanted.shape:
        raise ModelError(f"{wanted.size} scores were expected and this device gave {scores.size}")
    scale = max(np.abs(wanted).max(), 1e-38)
    deviation = float(np.abs(scores - wanted).max() / scale)
    if not deviation <= tolerance:
        raise ModelError(
            f"scores deviate by {deviation:.2g} of the largest where {tolerance:.2g} is allowed: this device"
            " computes other scores than the machine that exported the model, so its thresholds do not hold"
        )
    return deviation
