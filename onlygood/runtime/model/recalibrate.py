"""New calibration scores for a model file: what is promised then, and what the file remembers of before."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.model import calibration
from onlygood.runtime.model.appearance import Appearance, collected
from onlygood.runtime.model.likeness import flagged_tails, rank_test
from onlygood.runtime.model.metadata import (
    Calibration,
    Feedback,
    Metadata,
    Promise,
    Recalibration,
    Suspect,
)
from onlygood.runtime.model.outliers import distances

MOST_SUSPECTS = 20
_RARE = 0.01  # chance below which a count of flagged images is told
_UNLIKE = 0.001  # and below which kept and new scores are called different


@dataclass(frozen=True)
class NewScores:
    """Good images that the model never saw, scored on this device, in any order."""

    scores: NDArray[np.float64]  # (n,)
    names: Sequence[str]  # of the images, for people
    pixel_hashes: Sequence[str]
    groups: Sequence[str] | None = None  # the part that each shows; None: each is a part of its own
    left_out: int = 0
    feedback: Feedback = field(default_factory=Feedback)
    peaks: NDArray[np.float64] | None = None  # (n,) the highest value of each heatmap
    looks: Sequence[Appearance] = ()  # n


def recalibrated(
    metadata: Metadata, new: NewScores, *, append: bool, created: str, rate: float | None = None
) -> Metadata:
    """The metadata with ``new`` as calibration, or with ``append`` joined to the scores that are there.

    Parts of the new images are taken as others than those of the kept scores, whose names the file does not
    hold. ``rate`` is the false-alarm rate of verdicts from now on, the model's own by default.

    Raises:
        OnlygoodError: there are too few images for the rate; or the file promises for parts and the new
            images name none, or the other way round.
    """
    old = metadata.calibration
    wish = old.max_false_alarms if rate is None else rate
    _check_groups(old, new, append=append)
    groups = None if new.groups is None else np.unique(new.groups, return_inverse=True)[1]
    held_out = _joined(old if append else None, new.scores, groups, wish)
    peaks = None  # of a file that holds none, or whose kept images' are not known
    if new.peaks is not None and (metadata.peaks or not append):
        peaks = _joined(metadata.peaks if append else None, new.peaks, groups, wish)
    looks = None
    if new.looks and (metadata.appearance or not append):
        looks = collected(new.looks, metadata.appearance if append else None)
    check_promise(held_out)
    entry = Recalibration(
        created=created,
        appended=append,
        images=len(new.scores),
        left_out=new.left_out,
        feedback=new.feedback,
        before=promise(old),
        pixel_hashes=sorted(new.pixel_hashes),
    )
    kept = [suspect for suspect in metadata.suspects if append or suspect.part == "train"]
    return metadata.model_copy(
        update={
            "calibration": held_out,
            "peaks": peaks,
            "appearance": looks,
            "suspects": [*_suspects(new), *kept],
            "history": [*metadata.history, entry],
        }
    )


def _joined(
    old: Calibration | None, values: NDArray[np.float64], groups: NDArray[np.intp] | None, rate: float
) -> Calibration:
    """New ``values`` ``(n,)`` and the kept ones, if any, ascending, with the numbers of their parts."""
    if old is not None:
        values = np.concatenate([np.asarray(old.scores), values])
        if groups is not None and old.groups is not None:
            groups = np.concatenate([np.asarray(old.groups), groups + max(old.groups) + 1])
    order = np.argsort(values, kind="stable")
    parts = None if groups is None else groups[order].tolist()
    return Calibration(scores=values[order].tolist(), groups=parts, max_false_alarms=rate)


def learned(metadata: Metadata) -> frozenset[str]:
    """Digests of images that the model learned from, where told; of older files also of those held out."""
    return metadata.first_seen() - metadata.held_out()


def kept_digests(metadata: Metadata) -> frozenset[str]:
    """Digests of pixels of the images whose scores are among those in the file, where told."""
    kept = metadata.held_out()
    for entry in metadata.history:
        kept = kept.union(entry.pixel_hashes) if entry.appended else frozenset(entry.pixel_hashes)
    return kept


def promise(held_out: Calibration) -> Promise:
    """What verdicts of this calibration promise."""
    rate, parts = held_out.max_false_alarms, held_out.parts()
    limit = (
        calibration.threshold(np.asarray(held_out.scores), rate, held_out.weights())
        if calibration.rank(parts, rate)
        else None
    )
    return Promise(images=len(held_out.scores), parts=parts, max_false_alarms=rate, threshold=limit)


def check_promise(held_out: Calibration) -> None:
    """Check that there are images, or parts, enough for the rate.

    Raises:
        OnlygoodError: there are too few; the message gives the smallest rate that they allow.
    """
    rate, parts = held_out.max_false_alarms, held_out.parts()
    if calibration.rank(parts, rate):
        return
    unit = "images" if held_out.groups is None else "parts"
    smallest = calibration.round_up(calibration.smallest_alpha(parts))
    raise OnlygoodError(
        f"a false-alarm rate of {rate:g} needs {calibration.minimum_n(rate)} good {unit} to calibrate on; "
        f"there are {parts}, which allow {smallest}: add good {unit} or ask for --max-false-alarms {smallest}"
        + ("" if held_out.groups is None else "; more images of the same parts do not help")
    )


def doubts(old: Calibration, new: NewScores, *, append: bool) -> list[str]:
    """What makes it doubtful that the new images are a fair sample of the good ones, in words."""
    if new.groups is None or old.groups is None:
        before, after = np.asarray(old.scores), new.scores
    else:
        before = calibration.part_maxima(np.asarray(old.scores), old.groups)
        after = calibration.part_maxima(new.scores, np.unique(new.groups, return_inverse=True)[1].tolist())
    words = []
    rank = calibration.rank(len(before), old.max_false_alarms)
    if rank:
        limit = calibration.threshold(before, old.max_false_alarms)
        flagged, count = int((after > limit).sum()), len(after)
        few, many = flagged_tails(flagged, count, rank, len(before))
        counted = f"{flagged} of {count} new ones score above the threshold as it was, where about"
        counted += f" {count * rank / (len(before) + 1):.3g} were to be expected"
        if few < _RARE:
            words.append(
                f"{counted}: if images that the model flagged were left out, fresh ones will be flagged more "
                "often than promised. Give them too (--feedback)"
            )
        if many < _RARE and not new.feedback.fine_flagged:
            words.append(
                f"{counted}: the camera, the light or the parts have changed since the model was calibrated"
                + (
                    ". The kept scores speak of before: leave out --append"
                    if append
                    else ". The promise is kept from now on, but the model may detect less: fit it anew"
                )
            )
    fair = not new.feedback.fine_flagged  # feedback alone is of the highest scores
    if append and fair and not words and rank_test(before, after) < _UNLIKE:
        words.append(
            f"the new images score differently from the kept ones (median {np.median(after):.4g} against "
            f"{np.median(before):.4g}): the promise holds for a mixture of both, not for either"
        )
    return words


def _check_groups(old: Calibration, new: NewScores, *, append: bool) -> None:
    if old.groups is not None and new.groups is None:
        raise OnlygoodError(
            f"the model promises for new parts, and counts {old.parts()} of them: say which part each image "
            "shows, by --groups REGEX or a list path,label,group; --groups '.+' makes each image a part"
        )
    if append and old.groups is None and new.groups is not None:
        raise OnlygoodError(
            "the kept scores name no parts, so nobody knows which of them belong together: leave out --append"
            " or the parts"
        )


def _suspects(new: NewScores) -> list[Suspect]:
    far = distances(new.scores)
    order = [int(i) for i in np.argsort(-far, kind="stable") if far[i] > 1]
    return [
        Suspect(path=new.names[i], part="calibration", score=float(new.scores[i]))
        for i in order[:MOST_SUSPECTS]
    ]
