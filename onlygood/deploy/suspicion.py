"""Suspects in words: which images given as good to look at again, and what they do to the threshold."""

from collections.abc import Iterator

import numpy as np

from onlygood.runtime.images.files import printable
from onlygood.runtime.model.calibration import rank, threshold, without
from onlygood.runtime.model.metadata import Metadata

_PARTS = {
    "train": "learned from, score {:.4g} under an untrained encoder",
    "calibration": "held out, score {:.4g}",
}


def suspicion(metadata: Metadata) -> Iterator[str]:
    """A line for each suspect, the farthest first, and one for the threshold if they move it."""
    for suspect in metadata.suspects:
        yield f"{printable(suspect.path)}, {_PARTS[suspect.part].format(suspect.score)}"
    scores, rate = np.asarray(metadata.calibration.scores), metadata.calibration.max_false_alarms
    rest = without(scores, [suspect.score for suspect in metadata.suspects if suspect.part == "calibration"])
    k = rank(len(scores), rate)
    if 0 < k <= len(rest) < len(scores):
        yield (
            f"without those held out the threshold would be {rest[-k]:.6g}, at {k / (len(rest) + 1):.3g} "
            f"false alarms; it is {threshold(scores, rate):.6g}, at {rate:.3g}"
        )
