"""The model's input: sizes that regions cover, and depths that the files have."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import ramp
from PIL import Image

from onlygood.pretrain.data.plan import LONGEST, InputConfig, plan_input
from onlygood.pretrain.data.store import ImageStore, Survey, survey_images


def probe(width: int, height: int, *, gray: bool = False) -> Survey:
    return Survey(((width, height),), gray=gray, sixteen_bit=False)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1000, 1000, (224, 224)),
        (200, 200, (192, 192)),  # the nearest size, never far above the images'
        (2000, 1000, (448, 224)),  # the aspect is kept
        (500, 1250, (224, 560)),
        (100_000, 1000, (896, 224)),  # four times the shorter side at most
        (10, 10, (64, 64)),  # one tile at least
    ],
)
def test_sizes_by_hand(width: int, height: int, expected: tuple[int, int]) -> None:
    spec, words = plan_input(InputConfig(), probe(width, height), tile=64, stride=16)
    assert (spec.width, spec.height) == expected
    assert f"input {expected[0]}×{expected[1]} px" in words
    assert f"{width}×{height}" in words


@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.integers(16, 400),
    st.integers(1, 8),
    st.sampled_from([8, 16, 32]),
)
def test_every_size_is_covered_and_about_as_asked(
    width: int, height: int, side: int, tiles: int, stride: int
) -> None:
    tile = tiles * stride
    spec, _ = plan_input(InputConfig(side=side), probe(width, height), tile=tile, stride=stride)
    shorter, longer = sorted((spec.width, spec.height))
    assert all(length >= tile and (length - tile) % stride == 0 for length in (shorter, longer))
    assert shorter <= max(tile, min(side, width, height) + stride / 2)
    assert longer <= max(tile, LONGEST * min(side, width, height) + stride / 2)
    assert (spec.width <= spec.height) or (width >= height)


def test_what_the_recipe_says_is_taken() -> None:
    config = InputConfig(size=(48, 96), channels=1, resize="pad", bit_depth=12)
    spec, words = plan_input(config, probe(500, 500), tile=64, stride=16)
    assert (spec.height, spec.width, spec.channels, spec.resize, spec.bit_depth) == (48, 96, 1, "pad", 12)
    assert "input 96×48 px, as the recipe says" in words


def shapes(*sizes: tuple[int, int]) -> Survey:
    return Survey(sizes, gray=True, sixteen_bit=False)


@pytest.mark.parametrize(
    ("resize", "fate"),
    [("stretch", "squeezed or stretched"), ("crop", "lose what hangs over"), ("pad", None)],
)
def test_images_of_other_shapes_are_said_and_pad_is_offered(resize: str, fate: str | None) -> None:
    """Half portrait, half landscape: no size fits both."""
    half = shapes(*[(600, 800)] * 30, *[(800, 600)] * 30)
    spec, words = plan_input(InputConfig(resize=resize), half, tile=32, stride=32)
    assert (spec.width, spec.height) == (224, 224)  # the medians are 700 each
    assert ("100% of the images have another shape" in words) == (fate is not None)
    assert ("--set input.resize=pad" in words) == (fate is not None)
    assert fate is None or fate in words


def test_the_share_of_other_shapes_by_hand() -> None:
    mixed = shapes(*[(400, 300)] * 6, (300, 400), (1000, 300), (450, 300), (500, 300))
    # Against 4:3 the ratios are 1, 0.5625, 2.5, 1.125 and 1.25, which is not more than 1.25.
    assert mixed.other_shapes(400, 300, 1.25) == pytest.approx(0.2)
    assert mixed.other_shapes(300, 300, 1.25) == pytest.approx(1.0)
    _, words = plan_input(InputConfig(size=(300, 400)), mixed, tile=64, stride=16)
    assert "20% of the images have another shape" in words


@given(st.integers(128, 4000), st.floats(1, 1.5), st.booleans())
def test_nothing_is_said_of_images_of_one_moderate_shape(shorter: int, ratio: float, upright: bool) -> None:
    sides = (shorter, round(shorter * ratio)) if upright else (round(shorter * ratio), shorter)
    assert "another shape" not in plan_input(InputConfig(), probe(*sides), tile=64, stride=16)[1]


@pytest.mark.parametrize(
    ("largest", "depth"),
    [
        (255, 8),
        (256, 10),
        (1023, 10),
        (1024, 12),
        (4095, 12),
        (4096, 14),
        (16383, 14),
        (16384, 16),
        (65535, 16),
    ],
)
@pytest.mark.parametrize("declared", [True, False])
def test_the_depth_is_the_least_that_holds_all_values(largest: int, depth: int, declared: bool) -> None:
    deep = Survey(((64, 64),), gray=True, sixteen_bit=True, largest=largest, declared=declared)
    spec, words = plan_input(InputConfig(), deep, tile=32, stride=32)
    assert spec.bit_depth == depth
    assert f", {depth} bits deep, " in words
    assert ("as the files say" in words) is declared
    assert (f"no value sampled is above {largest}" in words) is not declared


def test_the_depth_of_a_recipe_or_of_nothing_known() -> None:
    deep = Survey(((64, 64),), gray=True, sixteen_bit=True, largest=900)
    spec, words = plan_input(InputConfig(bit_depth=14), deep, tile=32, stride=32)
    assert spec.bit_depth == 14
    assert "14 bits deep as the recipe says" in words
    black = Survey(((64, 64),), gray=True, sixteen_bit=True, largest=0)
    assert plan_input(InputConfig(), black, tile=32, stride=32)[0].bit_depth == 16
    spec, words = plan_input(InputConfig(), probe(64, 64), tile=32, stride=32)
    assert (spec.bit_depth, "bits" in words) == (16, False)


def test_images_of_twelve_bits_are_learned_from_in_full(tmp_path: Path) -> None:
    """They were nearly black: grey levels 0 to 15 of 255."""
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path in paths:
        Image.fromarray(ramp(4095, 64, 64).copy()).save(path)
    spec, words = plan_input(InputConfig(), survey_images(paths, progress=False), tile=32, stride=32)
    store = ImageStore.build(paths, spec, tmp_path / "cache", progress=False)
    np.testing.assert_array_equal(np.ptp(store.batch(np.arange(5)), axis=(1, 2, 3)), [255] * 5)
    assert store.notes == []
    assert "12 bits deep, since no value sampled is above 4095" in words


def test_reduced_jpegs_are_for_those_who_ask() -> None:
    assert plan_input(InputConfig(), probe(64, 64), tile=32, stride=32)[0].jpeg == "full"
    assert plan_input(InputConfig(jpeg="reduced"), probe(64, 64), tile=32, stride=32)[0].jpeg == "reduced"


@pytest.mark.parametrize(("gray", "channels", "word"), [(True, 1, "greyscale"), (False, 3, "RGB")])
def test_channels_are_those_of_the_images(gray: bool, channels: int, word: str) -> None:
    spec, words = plan_input(InputConfig(), probe(64, 64, gray=gray), tile=32, stride=32)
    assert spec.channels == channels
    assert word in words
    assert plan_input(InputConfig(channels=3), probe(64, 64, gray=gray), tile=32, stride=32)[0].channels == 3
