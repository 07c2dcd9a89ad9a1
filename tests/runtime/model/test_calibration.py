import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.model.calibration import (
    achieved_interval,
    corrected_rate,
    minimum_n,
    p_values,
    part_maxima,
    part_weights,
    rank,
    smallest_alpha,
    threshold,
    without,
)

RATES = st.floats(1e-4, 0.999) | st.sampled_from([i / 100 for i in range(1, 100)])
SCORES = st.lists(st.integers(-20, 20).map(float), min_size=1, max_size=150)  # with many ties


def test_p_values_by_hand() -> None:
    calibration = np.array([1.0, 2.0, 2.0, 4.0])
    scores = np.array([0.0, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0])
    assert p_values(calibration, scores) == pytest.approx([1, 1, 0.8, 0.8, 0.4, 0.4, 0.2])


def test_p_value_of_nan_is_nan_and_not_small() -> None:
    assert np.isnan(p_values(np.array([1.0]), np.array([np.nan]))).all()


def test_threshold_by_hand() -> None:
    calibration = np.arange(1.0, 100.0)  # n = 99
    assert threshold(calibration, 0.01) == 99.0  # k = 1: the largest
    assert threshold(calibration, 0.05) == 95.0  # k = 5: the fifth largest
    assert threshold(calibration, 0.059) == 95.0
    assert threshold(calibration, 0.29) == 71.0  # though 0.29 * 100 is 28.999999999999996 in floats


@given(SCORES, SCORES, RATES)
def test_score_beyond_threshold_is_p_value_within_rate(
    calibration: list[float], scores: list[float], alpha: float
) -> None:
    ascending, fresh = np.sort(calibration), np.array(scores)
    small = p_values(ascending, fresh) <= alpha
    if len(ascending) < minimum_n(alpha):
        assert not small.any()
        with pytest.raises(OnlygoodError):
            threshold(ascending, alpha)
    else:
        assert (small == (fresh > threshold(ascending, alpha))).all()


def test_refusal_names_a_rate_that_is_then_accepted() -> None:
    calibration = np.arange(50.0)
    with pytest.raises(OnlygoodError, match=r"at least 99 calibration images.* has 50.* is 0\.01961$"):
        threshold(calibration, 0.01)
    assert threshold(calibration, 0.01961) == 49.0


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, float("nan")])
def test_impossible_rates_are_refused(alpha: float) -> None:
    with pytest.raises(OnlygoodError, match="between 0 and 1"):
        threshold(np.arange(10.0), alpha)


def test_minimum_n_by_hand() -> None:
    assert [minimum_n(alpha) for alpha in (0.5, 0.1, 0.05, 0.01, 0.001, 1 / 3)] == [1, 9, 19, 99, 999, 2]


@given(st.integers(1, 10_000))
def test_smallest_alpha_is_allowed_by_exactly_n(n: int) -> None:
    assert minimum_n(smallest_alpha(n)) == n


@pytest.mark.parametrize(("n", "alpha"), [(99, 0.01), (100, 0.05), (500, 0.013), (20_000, 0.001), (9, 0.5)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_achieved_interval_is_the_beta_distribution(n: int, alpha: float, confidence: float) -> None:
    k = int(alpha * (n + 1) + 1e-9)
    law = beta(k, n + 1 - k)
    tail = (1 - confidence) / 2
    expected = [law.ppf(tail), law.mean(), law.ppf(1 - tail)]
    assert achieved_interval(n, alpha, confidence) == pytest.approx(expected, rel=1e-7)


def test_interval_where_nothing_can_be_flagged() -> None:
    assert achieved_interval(10, 0.01) == (0, 0, 0)


def test_false_alarm_rate_is_kept_on_fresh_scores() -> None:
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(400):
        calibration = np.sort(rng.normal(size=99))
        rates.append((rng.normal(size=200) > threshold(calibration, 0.1)).mean())
    assert np.mean(rates) == pytest.approx(0.1, abs=0.005)
    low, _, high = achieved_interval(99, 0.1, 0.95)
    inside = np.mean([low <= rate <= high for rate in rates])
    assert inside > 0.85  # less than 0.95, since 200 fresh scores add a spread of their own


@pytest.mark.parametrize("alpha", [1e-300, 5e-324, 1e-9, 1e-12])
def test_rates_that_no_number_of_images_supports_are_refused_at_once(alpha: float) -> None:
    for refuse in (minimum_n, lambda rate: threshold(np.arange(10.0), rate)):
        with pytest.raises(OnlygoodError, match="above 1e-09"):
            refuse(alpha)


@given(st.floats(1.1e-9, 0.999))
def test_minimum_n_is_the_least_for_any_rate(alpha: float) -> None:
    n = minimum_n(alpha)
    assert 1 / (n + 1) <= alpha
    assert n == 1 or 1 / n > alpha


@given(RATES, st.integers(1, 5))
def test_minimum_n_is_the_fewest_whose_kth_score_is_the_threshold(alpha: float, k: int) -> None:
    n = minimum_n(alpha, k)
    assert rank(n, alpha) >= k
    assert n == 1 or rank(n - 1, alpha) < k
    assert rank(n + k, smallest_alpha(n + k, k)) == k


def test_two_images_at_one_per_cent_by_hand() -> None:
    assert (minimum_n(0.01), minimum_n(0.01, 2), minimum_n(0.05, 2)) == (99, 199, 39)
    assert smallest_alpha(120, 2) == 2 / 121
    scores = np.arange(1.0, 121.0)
    assert threshold(scores, 2 / 121) == 119.0
    assert threshold(np.append(scores[:-1], 1e9), 2 / 121) == 119.0  # one bad image moves nothing


def test_scores_are_left_out_once_each() -> None:
    scores = np.array([1.0, 2.0, 2.0, 3.0])
    assert scores[without(scores, [2.0, 3.0, 7.0])].tolist() == [1.0, 2.0]
    assert without(scores, []).all()


# --- parts photographed several times

PARTS = st.lists(st.tuples(st.integers(-20, 20).map(float), st.integers(0, 12)), min_size=1, max_size=150)


def sorted_parts(pairs: list[tuple[float, int]]) -> tuple[np.ndarray, list[int]]:
    ordered = sorted(pairs)
    return np.array([score for score, _ in ordered]), [group for _, group in ordered]


def test_parts_by_hand() -> None:
    """Three parts of 3, 1 and 2 images: thirds, a whole and halves."""
    scores, groups = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), [7, 7, 7, 3, 0, 0]
    weights = part_weights(groups)
    assert weights == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1, 1 / 2, 1 / 2])
    fresh = np.array([0.0, 3.0, 3.5, 4.5, 5.5, 7.0])
    expected = np.array([4, 1 + 1 / 3 + 2, 3, 2, 1.5, 1]) / 4
    assert p_values(scores, fresh, weights) == pytest.approx(expected)
    assert threshold(scores, 0.375, weights) == 5.0  # above 5 half a part is left: 1.5 / 4
    assert threshold(scores, 0.37, weights) == 6.0
    with pytest.raises(
        OnlygoodError, match=r"at least 4 calibration parts and the model has 3; .* is 0\.25$"
    ):
        threshold(scores, 0.2, weights)


def test_a_whole_part_is_ranked_by_its_maximum_among_those_of_parts() -> None:
    maxima = part_maxima(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), [7, 7, 7, 3, 0, 0])
    assert maxima.tolist() == [3.0, 4.0, 6.0]
    assert p_values(maxima, np.array([3.5, 6.5])).tolist() == [0.75, 0.25]


@given(SCORES, SCORES, RATES)
def test_parts_of_one_image_give_the_very_numbers_of_images(
    calibration: list[float], scores: list[float], alpha: float
) -> None:
    ascending, fresh = np.sort(calibration), np.array(scores)
    weights = part_weights(range(len(ascending)))
    n = len(ascending)
    by_hand = [(1 + sum(known >= score for known in calibration)) / (n + 1) for score in scores]
    assert p_values(ascending, fresh, weights).tolist() == p_values(ascending, fresh).tolist() == by_hand
    if k := rank(n, alpha):
        assert threshold(ascending, alpha, weights) == threshold(ascending, alpha) == ascending[n - k]


@given(PARTS, SCORES, RATES)
def test_thresholds_and_p_values_of_parts_agree(
    pairs: list[tuple[float, int]], scores: list[float], alpha: float
) -> None:
    ascending, groups = sorted_parts(pairs)
    weights = part_weights(groups)
    fresh = np.append(scores, ascending)
    small = p_values(ascending, fresh, weights) <= alpha
    if rank(len(set(groups)), alpha):
        assert (small == (fresh > threshold(ascending, alpha, weights))).all()
    else:
        assert not small.any()
        with pytest.raises(OnlygoodError, match="calibration parts"):
            threshold(ascending, alpha, weights)


@given(PARTS, SCORES, st.integers(2, 7))
def test_more_pictures_of_the_same_parts_promise_nothing_more(
    pairs: list[tuple[float, int]], scores: list[float], times: int
) -> None:
    ascending, groups = sorted_parts(pairs)
    once = p_values(ascending, np.array(scores), part_weights(groups))
    again = p_values(
        ascending.repeat(times), np.array(scores), part_weights(np.repeat(groups, times).tolist())
    )
    assert again == pytest.approx(once, abs=1e-8)
    assert (once >= 1 / (len(set(groups)) + 1)).all()


def test_six_sixths_are_one() -> None:
    """Of 39 parts of 6 images the second largest part is the threshold at 5 %, not the one below."""
    scores = np.repeat(np.arange(39.0), 6)
    assert threshold(scores, 0.05, part_weights(np.repeat(range(39), 6).tolist())) == 37.0


def test_new_parts_are_flagged_as_promised_and_far_more_often_if_nobody_named_them() -> None:
    """Parts differ, images of a part hardly do: 114 images of 19 parts know 19 things."""
    rng = np.random.default_rng(0)
    alarms = {"parts": [], "images": []}
    groups = np.repeat(np.arange(19), 6)
    for _ in range(400):
        scores = rng.normal(size=19)[groups] + 0.1 * rng.normal(size=114)
        order = np.argsort(scores)
        ascending, weights = scores[order], part_weights(groups[order].tolist())
        fresh = rng.normal(size=50) + 0.1 * rng.normal(size=50)
        alarms["parts"].append(np.mean(p_values(ascending, fresh, weights) <= 0.1))
        alarms["images"].append(np.mean(p_values(ascending, fresh) <= 0.01))
    assert np.mean(alarms["parts"]) < 0.1 + 2 * np.std(alarms["parts"]) / 20
    assert np.mean(alarms["images"]) > 0.03  # 0.01 were promised


def test_suspects_are_not_the_threshold_and_the_rate_pays_for_them() -> None:
    scores = np.append(np.arange(1.0, 99.0), 1e9)  # n = 99, the last is a suspect
    assert corrected_rate(scores, 0.01, 99) == 0.01
    assert corrected_rate(scores, 0.01, 98) == 0.02
    assert threshold(scores, 0.02) == 98.0
    assert corrected_rate(scores, 0.05, 98) == 0.05  # five are above the threshold anyway
    groups = [*range(96), 96, 97, 97]  # one bad picture of two
    assert corrected_rate(scores, 0.01, 98, part_weights(groups)) == pytest.approx(1.5 / 99)


@given(PARTS, RATES, st.data())
def test_a_corrected_rate_has_a_threshold_among_those_kept(
    pairs: list[tuple[float, int]], rate: float, data: st.DataObject
) -> None:
    ascending, groups = sorted_parts(
        [(score + 1e-3 * index, group) for index, (score, group) in enumerate(pairs)]
    )
    kept = data.draw(st.integers(1, len(ascending)))
    weights = part_weights(groups)
    corrected = corrected_rate(ascending, rate, kept, weights)
    assert corrected >= rate
    if rank(len(set(groups)), corrected) and corrected < 1:
        assert threshold(ascending, corrected, weights) <= ascending[kept - 1]
