"""New scores into the metadata: by hand; what is kept, what is refused, what is doubted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.model.appearance import Appearance
from onlygood.runtime.model.metadata import Feedback, Metadata
from onlygood.runtime.model.recalibrate import NewScores, doubts, kept_digests, recalibrated

Make = Callable[..., Metadata]


def new(scores: Any, groups: list[str] | None = None, start: int = 0, **values: Any) -> NewScores:
    names = [f"{i}.png" for i in range(len(scores))]
    digests = [f"{i + start:016x}" for i in range(len(scores))]
    return NewScores(np.asarray(scores, np.float64), names, digests, groups, **values)


def test_new_scores_replace_those_that_were_there(metadata_with: Make) -> None:
    """19 scores up to 0.9 at 10 %: 0.85. Then ten, unsorted: the largest, 20."""
    scores = [20, 11, 12, 13, 14, 15, 16, 17, 18, 19]
    after = recalibrated(metadata_with(), new(scores, left_out=3), append=False, created="now")
    assert after.calibration.scores == sorted(scores)
    assert after.calibration.max_false_alarms == 0.1
    (entry,) = after.history
    assert (entry.created, entry.appended, entry.images, entry.left_out) == ("now", False, 10, 3)
    assert entry.before.model_dump() == {
        "images": 19,
        "parts": 19,
        "max_false_alarms": 0.1,
        "threshold": 0.85,
    }
    assert len(entry.pixel_hashes) == 10


def test_appended_scores_join_the_others(metadata_with: Make) -> None:
    after = recalibrated(metadata_with(), new([0.42, 0.01]), append=True, created="now", rate=0.05)
    assert after.calibration.scores == sorted([i / 20 for i in range(19)] + [0.42, 0.01])
    assert after.calibration.max_false_alarms == 0.05
    assert after.history[0].appended


def test_appended_parts_are_other_parts(metadata_with: Make) -> None:
    grouped = metadata_with(
        calibration={"scores": [1, 2, 3, 4], "groups": [1, 0, 1, 2], "max_false_alarms": 0.25}
    )
    after = recalibrated(grouped, new([2.5, 9, 0], ["b", "a", "b"]), append=True, created="now")
    assert after.calibration.scores == [0, 1, 2, 2.5, 3, 4, 9]
    assert after.calibration.groups == [4, 1, 0, 4, 1, 2, 3]
    assert after.calibration.parts() == 5
    alone = recalibrated(grouped, new([2.5, 9, 0], ["b", "a", "c"]), append=False, created="now")
    assert alone.calibration.groups == [2, 1, 0]


def test_peaks_are_joined_and_ordered_by_themselves(metadata_with: Make) -> None:
    peaks = {"scores": [5.0, 7.0], "groups": [1, 0], "max_false_alarms": 0.4}
    calibration = {"scores": [0.1, 0.2], "groups": [0, 1], "max_false_alarms": 0.4}
    new = NewScores(np.array([0.3, 0.15]), ["a", "b"], [], groups=["x", "y"], peaks=np.array([4.0, 6.0]))
    kept = recalibrated(metadata_with(calibration=calibration, peaks=peaks), new, append=True, created="")
    assert kept.peaks is not None
    assert (kept.peaks.scores, kept.peaks.groups) == ([4, 5, 6, 7], [2, 1, 3, 0])
    anew = recalibrated(metadata_with(calibration=calibration), new, append=False, created="")
    assert anew.peaks is not None
    assert anew.peaks.scores == [4, 6]
    unknown = recalibrated(metadata_with(calibration=calibration), new, append=True, created="")
    assert unknown.peaks is None  # of the kept images nobody knows them


def test_looks_are_joined_or_replaced(metadata_with: Make) -> None:
    old = {name: [1.0, 3.0] for name in Appearance._fields}
    enough = {"scores": [0.1, 0.2], "max_false_alarms": 0.4}
    fresh = new([0.3, 0.1], looks=[Appearance(2, 4, 6, 8, 10), Appearance(0, 0, 0, 0, 0)])
    kept = recalibrated(metadata_with(appearance=old), fresh, append=True, created="").appearance
    assert kept is not None
    assert (kept.brightness, kept.down) == ([0, 1, 2, 3], [0, 1, 3, 10])
    anew = recalibrated(metadata_with(calibration=enough), fresh, append=False, created="").appearance
    assert anew is not None
    assert (anew.brightness, anew.contrast) == ([0, 2], [0, 4])
    unknown = recalibrated(metadata_with(), fresh, append=True, created="")
    assert unknown.appearance is None  # of the kept images nobody knows them


def test_parts_that_one_side_does_not_name_are_refused(metadata_with: Make) -> None:
    held_out = {"scores": [1, 2, 3, 4], "groups": [1, 0, 1, 2], "max_false_alarms": 0.25}
    grouped = metadata_with(calibration=held_out)
    for append in (True, False):
        with pytest.raises(OnlygoodError, match="promises for new parts, and counts 3 of them"):
            recalibrated(grouped, new([1, 2, 3]), append=append, created="now")
    with pytest.raises(OnlygoodError, match="kept scores name no parts"):
        recalibrated(metadata_with(), new([1, 2], ["a", "b"]), append=True, created="now")
    named = new(range(9), list("abcdefghi"))
    assert recalibrated(metadata_with(), named, append=False, created="now").calibration.parts() == 9


def test_a_promise_that_cannot_be_kept_is_refused(metadata_with: Make) -> None:
    """At 10 % nine are the least: floor(0.1 · 10) = 1."""
    said = (
        r"a false-alarm rate of 0.1 needs 9 good images to calibrate on; there are 8, which allow 0.1112: add"
        r" good images or ask for --max-false-alarms 0.1112$"
    )
    with pytest.raises(OnlygoodError, match=said):
        recalibrated(metadata_with(), new(range(8)), append=False, created="now")
    recalibrated(metadata_with(), new(range(9)), append=False, created="now")
    recalibrated(metadata_with(), new(range(8)), append=False, created="now", rate=0.1112)
    with pytest.raises(OnlygoodError, match=r"there are 2, which .* images of the same parts do not help"):
        recalibrated(metadata_with(), new(range(20), ["a", "b"] * 10), append=False, created="now")


def test_suspects_of_scores_that_are_gone_are_gone(metadata_with: Make) -> None:
    suspects = [
        {"path": "held.png", "part": "calibration", "score": 9.0},
        {"path": "train.png", "part": "train", "score": 7.5},
    ]
    before = metadata_with(suspects=suspects)
    scores = [*np.linspace(1, 2, 30), 500]
    replaced = recalibrated(before, new(scores), append=False, created="now")
    assert [suspect.path for suspect in replaced.suspects] == ["30.png", "train.png"]
    joined = recalibrated(before, new(scores), append=True, created="now")
    assert [suspect.path for suspect in joined.suspects] == ["30.png", "held.png", "train.png"]


def test_kept_digests_are_those_since_the_last_replacement(metadata_with: Make) -> None:
    metadata = metadata_with()
    for append, start in ((True, 0), (False, 100), (True, 200)):
        metadata = recalibrated(metadata, new(range(10), start=start), append=append, created="now")
    assert kept_digests(metadata) == {f"{i:016x}" for i in [*range(100, 110), *range(200, 210)]}
    assert metadata.seen() == kept_digests(metadata) | {f"{i:016x}" for i in range(10)}


def spread(count: int, top: float) -> list[float]:
    return np.linspace(0, top, count).tolist()


def test_fair_images_raise_no_doubt(metadata_with: Make) -> None:
    for append in (True, False):
        assert doubts(metadata_with().calibration, new(spread(100, 0.93)), append=append) == []


def test_images_without_those_that_were_flagged_are_doubted(metadata_with: Make) -> None:
    """None of 200 above the second largest of 19: 19 · 18 / (219 · 218) = .007; of 100, .024."""
    (words,) = doubts(metadata_with().calibration, new(spread(200, 0.84)), append=False)
    assert words.startswith("0 of 200 new ones score above the threshold as it was, where about 20 were")
    assert "--feedback" in words
    assert doubts(metadata_with().calibration, new(spread(100, 0.84)), append=False) == []


def test_another_light_is_doubted(metadata_with: Make) -> None:
    old = metadata_with().calibration
    (words,) = doubts(old, new(spread(100, 1.7)), append=True)
    assert "have changed since" in words
    assert "leave out --append" in words
    (words,) = doubts(old, new(spread(100, 1.7)), append=False)
    assert "fit it anew" in words
    said = Feedback(fine=90, fine_flagged=90)
    assert doubts(old, new(spread(100, 1.7), feedback=said), append=True) == []


def test_a_mixture_is_doubted(metadata_with: Make) -> None:
    low = [*spread(60, 0.2), *spread(6, 1)]
    (words,) = doubts(metadata_with().calibration, new(low), append=True)
    assert "score differently from the kept ones" in words
    assert doubts(metadata_with().calibration, new(low), append=False) == []
