"""Suspects in words: which images given as good to look at again, and what they do to the threshold."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from onlygood.runtime.images.files import printable
from onlygood.runtime.model.calibration import part_weights, rank, smallest_alpha, threshold, without
from onlygood.runtime.model.metadata import Metadata

_PARTS = {
    ("train", False): "learned from, score {:.4g} under an untrained encoder",
    ("train", True): "not learned from, score {:.4g} under an untrained encoder",
    ("calibration", False): "held out, score {:.4g}",
    ("calibration", True): "held out and not the threshold, score {:.4g}",
}
_NAMED = 5  # images, at most, by which a threshold is explained


def suspicion(metadata: Metadata) -> Iterator[str]:
    """A line for each suspect, the farthest first, and one for the threshold if they move it."""
    for suspect in metadata.suspects:
        yield f"{printable(suspect.path)}, {_PARTS[suspect.part, suspect.dropped].format(suspect.score)}"
    held_out, rate = metadata.calibration, metadata.calibration.max_false_alarms
    scores = np.asarray(held_out.scores)
    stay = without(scores, [suspect.score for suspect in metadata.suspects if suspect.part == "calibration"])
    groups = None if held_out.groups is None else np.asarray(held_out.groups)[stay].tolist()
    k, left = rank(held_out.parts(), rate), int(stay.sum()) if groups is None else len(set(groups))
    if 0 < k <= left and not stay.all():
        weights = None if groups is None else part_weights(groups)
        lower = smallest_alpha(left, k)
        other, ours = threshold(scores[stay], lower, weights), threshold(scores, rate, held_out.weights())
        yield (
            f"without those held out the threshold would be {other:.6g}, at {lower:.3g} false alarms; it is "
            f"{ours:.6g}, at {rate:.3g}"
        )


def deciding(names: Sequence[str], scores: ArrayLike, limit: float) -> str:
    """The held-out images whose scores ``(n,)`` are the threshold ``limit`` or above it, the highest first.

    A detector that is right about a bad image among those given as good lifts its own threshold, and finds
    fewer defects, though nothing of it looks out of place (`suspicion` is silent). Only a person can tell.
    """
    values = np.asarray(scores)
    above = [i for i in np.argsort(-values, kind="stable") if values[i] >= limit]
    named = ", ".join(f"{printable(names[i])} ({values[i]:.4g})" for i in above[:_NAMED])
    more = f" and {len(above) - _NAMED} more" if len(above) > _NAMED else ""
    return (
        f"these held-out images set the threshold: {named}{more}; defects below their scores are missed, so "
        "look at them: if one is not good, leave it out (--exclude) and fit again"
    )
