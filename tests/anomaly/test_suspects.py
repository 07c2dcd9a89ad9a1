"""Suspects: who stands out, judged by whom, and how rarely nobody should."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from onlygood.anomaly.heads.base import Head
from onlygood.anomaly.heads.center import CenterDistance
from onlygood.anomaly.heads.outputs import Outputs
from onlygood.anomaly.suspects import MOST, Judged, cross_fitted, find_suspects
from onlygood.runtime.model.outliers import distances

NOBODY = Judged(np.empty(0, dtype=np.int64), np.empty(0))


def detector(head: Head) -> Any:
    """What judging takes of a branch of one region."""
    return SimpleNamespace(head=head, pool=lambda scores: scores[:, 0])


# --- who stands out -----------------------------------------------------------


def test_distances_by_hand() -> None:
    # Of 1 … 10 and 91 the median is 6, the upper quartile 8.5: a spread is 2.5, and 91 lies 33 of them out.
    # In logarithms a spread is (ln 8 + ln 9) / 2 - ln 6, and the lesser of both counts. With 11 scores the
    # limits are 10 and 5 spreads times 1 + 10/11.
    scores = np.array([*range(1, 11), 91.0])
    log_upper = (np.log(8) + np.log(9)) / 2
    expected = (np.log(91) - log_upper) / (log_upper - np.log(6)) / (5 * (1 + 10 / 11))
    assert distances(scores)[-1] == pytest.approx(expected)
    scores[0] = -1.0  # logarithms have no say
    assert distances(scores)[-1] == pytest.approx(33 / (10 * (1 + 10 / 11)))
    assert distances(scores)[-1] > 1
    assert (distances(scores)[:-1] < 1).all()


@pytest.mark.parametrize("scores", [[], [3.0], [0.0] * 50, [1.0] * 50, [1.0] * 49 + [1.0 + 1e-6]])
def test_equal_scores_and_rounding_are_no_suspicion(scores: list[float]) -> None:
    assert not (distances(np.array(scores)) > 1).any()


@given(st.floats(0.01, 100), st.lists(st.floats(0.5, 2), min_size=10, max_size=60))
def test_the_unit_of_scores_does_not_matter_to_who_is_far(unit: float, scores: list[float]) -> None:
    x = np.array([*scores, 5000.0, -1.0])
    assert distances(unit * x) == pytest.approx(distances(x), rel=1e-6, abs=1e-6)


def test_a_fifth_of_bad_images_does_not_hide_itself() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.gumbel(5, 1, 80), rng.uniform(300, 400, 20)])
    assert (distances(x) > 1).tolist() == [False] * 80 + [True] * 20


SHAPES = {
    "normal": lambda rng, n: 10 + rng.normal(size=n),
    "gumbel": lambda rng, n: rng.gumbel(size=n),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "log-normal": lambda rng, n: np.exp(rng.normal(size=n)),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("count", "most"), [(10, 0.03), (30, 0.02), (100, 0.02), (300, 0.03)])
def test_good_images_alone_are_hardly_ever_named(shape: str, count: int, most: float) -> None:
    """Of 1000 sets without a bad image at most so many name one, however skewed the scores are."""
    rng = np.random.default_rng(1)
    named = sum(bool((distances(SHAPES[shape](rng, count)) > 1).any()) for _ in range(1000))
    assert named / 1000 <= most


# --- judged by whom -----------------------------------------------------------


def test_every_half_is_scored_by_the_other() -> None:
    """Distance to the mean of the other half; names in the order of the alphabet alternate."""
    values = torch.tensor([0.0, 10.0, 2.0, 12.0, 4.0, 14.0, 6.0, 16.0, 8.0, 18.0])
    outputs, judge = Outputs(values.reshape(10, 1, 1, 1)), detector(CenterDistance(1))
    judge.head.fit(outputs)
    before = judge.head.center.clone()
    found = cross_fitted(judge, outputs, np.arange(20, 30), list("abcdefghij"))
    assert found.ids.tolist() == list(range(20, 30))
    even, odd = values[::2], values[1::2]
    expected = torch.empty(10)
    expected[::2], expected[1::2] = (even - odd.mean()) ** 2, (odd - even.mean()) ** 2
    assert found.scores == pytest.approx(expected.double().numpy())
    assert torch.equal(judge.head.center, before)


def test_an_image_that_a_head_has_learned_is_seen_by_the_other_half() -> None:
    features = np.random.default_rng(0).normal(size=(40, 1, 1, 4)).astype(np.float32)
    features[7] += 60
    names = [f"{i:02}" for i in range(40)]
    found = cross_fitted(
        detector(CenterDistance(4)), Outputs(torch.from_numpy(features)), np.arange(40), names
    )
    assert np.argmax(found.scores) == 7


def test_images_of_one_name_are_in_one_half_and_small_halves_judge_nobody() -> None:
    outputs, judge = Outputs(torch.arange(12.0).reshape(12, 1, 1, 1)), detector(CenterDistance(1))
    found = cross_fitted(judge, outputs, np.arange(12), ["a"] * 6 + ["b"] * 6)
    others = np.repeat([8.5, 2.5], 6)  # the mean of the other group
    assert found.scores == pytest.approx((np.arange(12) - others) ** 2)
    for lopsided in (["a"] * 8 + ["b"] * 4, ["a"] * 12):
        assert len(cross_fitted(judge, outputs, np.arange(12), lopsided).ids) == 0


# --- who is named -------------------------------------------------------------


def test_both_parts_are_named_the_farthest_first_below_the_root(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / "good" / f"{i:02}.png" for i in range(50)]
    train, held_out = rng.gumbel(size=30), rng.gumbel(size=20)
    train[3], held_out[5] = 60.0, 300.0
    found = find_suspects(Judged(np.arange(30), train), Judged(np.arange(30, 50), held_out), paths, tmp_path)
    assert [(s.path, s.part, s.score) for s in found] == [
        ("good/35.png", "calibration", 300.0),
        ("good/03.png", "train", 60.0),
    ]


def test_at_most_so_many_are_named_and_none_of_nobody(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i:03}.png" for i in range(200)]
    scores = np.concatenate([np.random.default_rng(0).gumbel(size=170), np.arange(1000.0, 1030.0)])
    found = find_suspects(NOBODY, Judged(np.arange(200), scores), paths, tmp_path)
    assert [s.path for s in found] == [f"{i:03}.png" for i in range(199, 199 - MOST, -1)]
    assert find_suspects(NOBODY, NOBODY, paths, tmp_path) == []
