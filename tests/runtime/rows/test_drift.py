from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onlygood.runtime.model.appearance import Appearance
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.rows import drift
from onlygood.runtime.rows.drift import Monitor, Observation, Reference, observed
from onlygood.runtime.rows.verdicts import Row, Status

Make = Callable[..., Metadata]
COUNT = 99


@pytest.fixture
def calibrated(metadata_with: Make) -> Callable[[int], Metadata]:
    """Calibrated on normally distributed values, by a seed."""

    def make(seed: int) -> Metadata:
        values = np.sort(np.random.default_rng([seed, 1]).normal(size=(6, COUNT)), axis=1).tolist()
        looks = dict(zip(Appearance._fields, values[1:], strict=True))
        return metadata_with(calibration={"scores": values[0], "max_false_alarms": 0.05}, appearance=looks)

    return make


def images(seed: int, count: int, threshold: float, **shift: float) -> list[Observation]:
    """Images like those of the calibration, or shifted in some statistic."""
    values = np.random.default_rng([seed, 2]).normal(size=(count, 6))
    for name, by in shift.items():
        values[:, drift.STATISTICS.index(name)] += by
    return [Observation(v[0], bool(v[0] > threshold), Appearance(*v[1:])) for v in values.tolist()]


def limit(metadata: Metadata) -> float:
    return metadata.calibration.scores[-5]  # the fifth largest of 99, at a rate of 0.05


def run(metadata: Metadata, stream: list[Observation], **options: Any) -> tuple[Monitor, list[str]]:
    monitor = Monitor(metadata, limit(metadata), **options)
    return monitor, [words for seen in stream if (words := monitor.add(seen))]


def test_false_alarms_are_as_rare_as_stated(calibrated: Callable[[int], Metadata]) -> None:
    """Of 40 streams at most one in a hundred may have one; more than two has a chance of 0.7 %."""
    alarms = 0
    for seed in range(40):
        metadata = calibrated(seed)
        alarms += bool(run(metadata, images(seed, 250, limit(metadata)))[1])
    assert alarms <= 2


@pytest.mark.parametrize("name", drift.STATISTICS)
@pytest.mark.parametrize("by", [-2.0, 2.0])
def test_what_moved_is_named_with_its_values(
    calibrated: Callable[[int], Metadata], name: str, by: float
) -> None:
    metadata = calibrated(0)
    stream = images(0, 100, limit(metadata)) + images(1, 60, limit(metadata), **{name: by})
    monitor, words = run(metadata, stream)
    expected = {"score", "flagged"} if name == "score" else {name}
    assert monitor.moved
    assert set(monitor.moved) <= expected
    assert "no longer promised" in words[0]
    alarm = monitor.alarm
    assert alarm is not None


def test_the_beginning_of_a_change_is_about_right(calibrated: Callable[[int], Metadata]) -> None:
    metadata = calibrated(0)
    stream = images(0, 100, limit(metadata)) + images(1, 60, limit(metadata), sharpness=-2.0)
    monitor = Monitor(metadata, limit(metadata))
    alarm = next(alarm for seen in stream if (alarm := monitor.stream.add(seen)))
    assert 70 <= alarm.since <= 110 < alarm.image <= 130


def test_flagged_images_up_to_the_share_are_no_drift(calibrated: Callable[[int], Metadata]) -> None:
    metadata = calibrated(0)
    good = images(0, 400, limit(metadata))

    def with_defects(every: int) -> list[Observation]:
        bad = [seen._replace(score=9.0, flagged=True) for seen in good]
        return [bad[i] if i % every == 0 else seen for i, seen in enumerate(good)]

    assert run(metadata, with_defects(20))[1] == []
    monitor, words = run(metadata, with_defects(3))
    assert monitor.moved[0] == "flagged"
    assert "where up to 10% are expected" in words[0]
    assert run(metadata, with_defects(3), flagged=0.5)[1] == []


def test_scores_of_calibration_images_count_below_the_threshold_only(metadata_with: Make) -> None:
    metadata = metadata_with(calibration={"scores": [1.0, 2.0, 2.0, 3.0], "max_false_alarms": 0.4})
    assert Reference.of(metadata, 2.0).values == {"score": [1.0]}


def test_older_files_are_compared_with_the_beginning_of_the_stream(
    calibrated: Callable[[int], Metadata],
) -> None:
    metadata = calibrated(0).model_copy(update={"appearance": None})
    stream = images(0, 150, limit(metadata), brightness=5.0) + images(1, 80, limit(metadata), brightness=9.0)
    monitor, words = run(metadata, stream[:150])
    assert words == []
    monitor, words = run(metadata, stream)
    assert monitor.moved == ["brightness"]
    assert "of the images so far" in words[0]


def test_ranks_alone_count(calibrated: Callable[[int], Metadata]) -> None:
    metadata = calibrated(0)
    looks = metadata.appearance
    assert looks is not None
    stretched = looks.model_copy(update={"contrast": np.exp(looks.contrast).tolist()})
    stream = images(0, 80, limit(metadata), contrast=0.5)
    other = [
        s._replace(appearance=s.appearance._replace(contrast=np.exp(s.appearance.contrast))) for s in stream
    ]
    first, _ = run(metadata, stream)
    second, _ = run(metadata.model_copy(update={"appearance": stretched}), other)
    assert first.stream.capital == second.stream.capital


def test_the_promise_comes_back_after_a_whole_stream(
    calibrated: Callable[[int], Metadata], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift, "LENGTH", 100)
    metadata = calibrated(0)
    monitor, words = run(metadata, images(1, 15, limit(metadata), down=3.0))
    assert (monitor.moved, monitor.streams) == (["down"], 1)
    monitor.recall(monitor.memory(), [])
    later = [words for seen in images(2, 100, limit(metadata)) if (words := monitor.add(seen))]
    assert later == ["no change in 100 images: the rate of false alarms is promised again"]
    assert (monitor.moved, monitor.streams) == ([], 2)


def test_a_recalled_monitor_goes_on_as_if_never_stopped(calibrated: Callable[[int], Metadata]) -> None:
    metadata = calibrated(0)
    stream = images(0, 60, limit(metadata))
    whole, _ = run(metadata, stream)
    first, _ = run(metadata, stream[:40])
    second = Monitor(metadata, limit(metadata))
    second.recall(first.memory(), stream[:40])
    for seen in stream[40:]:
        second.add(seen)
    assert second.stream.capital == whole.stream.capital


def test_rows_that_tell_nothing_are_passed_over() -> None:
    look = {"appearance": dict.fromkeys(Appearance._fields, 0.5)}
    row = Row(Path("a"), Status.ANOMALOUS, 0.5, score=0.9, extras=look)
    assert observed(row) == Observation(0.9, True, Appearance(0.5, 0.5, 0.5, 0.5, 0.5))
    assert observed(Row(Path("a"), Status.ERROR, 0.5)) is None
    assert observed(Row(Path("a"), Status.NORMAL, 0.5, score=0.1)) is None
