"""What fit chooses from a folder: splits that keep their promise."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlygood.anomaly.plan import DEFAULT_RATE, FEWEST, plan_split
from onlygood.anomaly.recipe import Recipe
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.model.calibration import minimum_n, rank, smallest_alpha

RECIPE = Recipe()


def recipe(fraction: float = 0.2, rate: float | None = None) -> Recipe:
    return Recipe.parse({"calibration": {"fraction": fraction, "max_false_alarms": rate}}, "test")


@pytest.mark.parametrize(
    ("images", "train", "calibration", "rate"),
    [
        (1000, 800, 200, 0.01),  # a fifth
        (500, 301, 199, 0.01),  # as many as 1 % needs, so that no single image is the threshold
        (397, 198, 199, 0.01),  # half at most
        (396, 198, 198, 2 / 199),  # 1 % would hang on one image: half of them, and what two allow
        (240, 120, 120, 2 / 121),
        (60, 30, 30, 2 / 31),
        (20, 10, 10, 2 / 11),
    ],
)
def test_splits_by_hand(images: int, train: int, calibration: int, rate: float) -> None:
    split = plan_split(recipe(), images, None)
    assert (split.train, split.calibration) == (train, calibration)
    assert split.rate == pytest.approx(rate)
    assert (f"{DEFAULT_RATE:g} would need 397 good images" in split.words) == (rate != 0.01)
    assert f"{train} images to learn from, {calibration} held out" in split.words


@pytest.mark.parametrize(
    ("images", "more"),
    [
        (240, 192),  # a fifth held out: more than the 39 that 5 % needs
        (100, 61),  # 39 held out
        (78, None),  # half is 39 already
        (500, None),  # 1 % is promised
    ],
)
def test_what_a_higher_rate_would_leave_to_learn_from(images: int, more: int | None) -> None:
    words = plan_split(recipe(), images, None).words
    assert ("--max-false-alarms 0.05 would learn from" in words) == (more is not None)
    if more is not None:
        assert f"would learn from {more}" in words
        assert plan_split(recipe(), images, 0.05).train == more


@given(st.integers(2 * FEWEST, 3000), st.floats(0.05, 0.9), st.none() | st.floats(0.001, 0.5))
def test_a_threshold_hangs_on_one_image_only_where_a_wish_forces_it(
    images: int, fraction: float, wish: float | None
) -> None:
    """And then the words say so, with the number of images that would let it hang on two."""
    most = images - max(FEWEST, images // 2)
    if wish is not None and minimum_n(wish) > most:
        return
    split = plan_split(recipe(fraction), images, wish)
    enough = re.search(r"hangs on one image.* (\d+) good images would let it hang on two", split.words)
    assert (rank(split.calibration, split.rate) == 1) == (enough is not None)
    if enough is not None:
        assert wish is not None
        assert rank(most, wish) == 1  # half of them do not allow two
        assert rank(plan_split(recipe(fraction), int(enough[1]), wish).calibration, wish) == 2


@given(st.integers(2 * FEWEST, 3000), st.floats(0.05, 0.9), st.none() | st.floats(0.001, 0.5))
def test_every_split_keeps_its_promise_or_says_which_it_could(
    images: int, fraction: float, wish: float | None
) -> None:
    if wish is not None and minimum_n(wish) > images - max(FEWEST, images // 2):
        with pytest.raises(OnlygoodError) as caught:
            plan_split(recipe(fraction), images, wish)
        offered = re.search(r"--max-false-alarms ([\d.]+)", str(caught.value))
        assert offered is not None
        wish = float(offered[1])
    split = plan_split(recipe(fraction), images, wish)
    assert split.train + split.calibration == images
    assert split.train >= FEWEST
    assert split.calibration >= minimum_n(split.rate)
    assert split.rate >= smallest_alpha(split.calibration)
    assert wish is None or split.rate == wish


@pytest.mark.parametrize(
    ("parts", "train", "calibration", "rate"),
    [(1000, 800, 200, 0.01), (179, 89, 90, 2 / 91), (35, 17, 18, 2 / 19), (4, 2, 2, 2 / 3)],
)
def test_parts_are_counted_where_they_are_named(
    parts: int, train: int, calibration: int, rate: float
) -> None:
    split = plan_split(recipe(), 5000, None, parts)
    assert (split.train, split.calibration) == (train, calibration)
    assert split.rate == pytest.approx(rate)
    assert f"{train} parts to learn from, {calibration} held out" in split.words
    smallest = f"{calibration} parts allow {1 / (calibration + 1):.3g} at the least"
    assert f"5000 images of {parts} parts: the promise is for new parts, and {smallest}" in split.words


def test_a_rate_that_the_parts_do_not_allow_is_refused_however_many_images_there_are() -> None:
    with pytest.raises(OnlygoodError, match=r"needs 99 good parts held out.* of 179, at most 90") as caught:
        plan_split(recipe(), 50_000, 0.01, 179)
    assert "--max-false-alarms 0.012; more images of the same parts do not help" in str(caught.value)
    assert "hangs on one part" in plan_split(recipe(), 50_000, 0.012, 179).words
    with pytest.raises(OnlygoodError, match="4 parts are the least"):
        plan_split(recipe(), 50_000, None, 3)


@pytest.mark.parametrize("images", [0, 1, 11, 2 * FEWEST - 1])
def test_too_few_images_are_told(images: int) -> None:
    with pytest.raises(OnlygoodError, match=f"{images} .*images are too few: {2 * FEWEST} are the least"):
        plan_split(recipe(), images, None)


def test_a_wish_that_hangs_on_one_image_is_kept_and_said() -> None:
    split = plan_split(recipe(), 240, 0.01)
    assert (split.train, split.calibration, split.rate) == (141, 99, 0.01)
    assert "the threshold hangs on one image, the farthest of these 99" in split.words
    assert "397 good images would let it hang on two" in split.words


def test_the_command_line_wins_over_the_recipe() -> None:
    assert plan_split(recipe(rate=0.2), 500, 0.05).rate == 0.05
    assert plan_split(recipe(rate=0.2), 500, None).rate == 0.2
    with pytest.raises(OnlygoodError, match=r"rate of 0\.001 needs 999 good images held out"):
        plan_split(recipe(rate=0.001), 500, None)


@pytest.mark.parametrize("wish", [0.0, 1.0, 1.5, -0.1])
def test_a_rate_lies_between_0_and_1(wish: float) -> None:
    with pytest.raises(OnlygoodError, match="between 0 and 1"):
        plan_split(recipe(), 500, wish)
