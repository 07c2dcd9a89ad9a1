"""The part of an image that counts: as runs, and what becomes of the rest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlygood.runtime.images.area import blanked, from_runs, runs_of


def test_runs_by_hand() -> None:
    inside = np.array([[False, True, True], [True, False, False]])
    assert runs_of(inside) == [1, 3, 2]
    assert runs_of(~inside) == [0, 1, 3, 2]
    assert (from_runs([1, 3, 2], 2, 3) == inside).all()


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10**6))
def test_runs_come_back(height: int, width: int, seed: int) -> None:
    inside = np.random.default_rng(seed).random((height, width)) < 0.5
    assert (from_runs(runs_of(inside), height, width) == inside).all()


def test_what_is_outside_gets_the_mean_color_rounded_down() -> None:
    image = np.array([[[10, 0], [21, 1]], [[99, 99], [7, 255]]], np.uint8)
    inside = np.array([[True, True], [False, False]])
    assert blanked(image, inside).tolist() == [[[10, 0], [21, 1]], [[15, 0], [15, 0]]]
    assert blanked(image, None) is image


@pytest.mark.parametrize("outside", [0, 255])
def test_many_images_are_blanked_each_by_itself(outside: int) -> None:
    images = np.full((2, 2, 2, 1), outside, np.uint8)
    images[0, 0], images[1, 0] = 40, 200
    inside = np.array([[True, True], [False, False]])
    assert blanked(images, inside)[:, 1].ravel().tolist() == [40, 40, 200, 200]
