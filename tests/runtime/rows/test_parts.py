"""Parts of rows: which of a part's images decide."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlygood.runtime.rows.parts import Parts
from onlygood.runtime.rows.verdicts import Row, Status

JUDGED, UNUSABLE, ERROR = Status.NORMAL, Status.UNUSABLE, Status.ERROR


def row(name: str, status: Status, score: float | None = None) -> Row:
    return Row(Path(name), status, 0.5, score=score, error="" if status is JUDGED else f"{status}!")


def parts() -> Parts:
    """Six parts that score 1 … 6 at most; those above 5 are anomalous."""
    return Parts(r"p\d", np.arange(1.0, 7.0), 5.0)


@pytest.mark.parametrize(
    ("images", "status", "shown"),
    [
        ([(JUDGED, 2.0), (JUDGED, 4.0)], JUDGED, 4.0),
        ([(JUDGED, 2.0), (UNUSABLE, 9.0)], UNUSABLE, 2.0),  # a covered lens is no defect, and no pass
        ([(JUDGED, 6.0), (UNUSABLE, 9.0)], Status.ANOMALOUS, 6.0),
        ([(UNUSABLE, 9.0), (ERROR, None), (JUDGED, 1.0)], ERROR, 1.0),  # the graver of the two
        ([(UNUSABLE, 9.0)], UNUSABLE, 9.0),
        ([(ERROR, None)], ERROR, None),
    ],
)
def test_what_cannot_be_judged_decides_nothing_and_passes_nothing(
    images: list[tuple[Status, float | None]], status: Status, shown: float | None
) -> None:
    (found,) = parts().verdicts(row(f"p1_{n}", *image) for n, image in enumerate(images))
    assert (found.status, found.score) == (status, shown)
    assert found.extras["unjudged"] == sum(kind is not JUDGED for kind, _ in images)
    assert bool(found.error) == (status in (UNUSABLE, ERROR))


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 9)), min_size=1))
def test_each_image_is_in_one_part_and_its_highest_score_counts(images: list[tuple[int, float]]) -> None:
    found = list(parts().verdicts(row(f"p{part}_{n}", JUDGED, s) for n, (part, s) in enumerate(images)))
    assert sum(part.extras["images"] for part in found) == len(images)
    assert [part.extras["part"] for part in found] == list(dict.fromkeys(f"p{part}" for part, _ in images))
    for part in found:
        scores = [score for number, score in images if f"p{number}" == part.extras["part"]]
        assert part.score == max(scores)
        assert (part.status is Status.ANOMALOUS) == (max(scores) > 5)
