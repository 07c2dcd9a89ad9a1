"""Heatmaps on their images, and what stands out in them, beside scipy's labels."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from onlygood.runtime.images.heat import Patch, blended, on_image, patches


def test_heatmap_on_image_stretched() -> None:
    drawn = on_image(np.array([[0.0, 1.0]], np.float32), 4, 2, (0, 0, 4, 2))
    assert drawn.tolist() == [[0, 0.25, 0.75, 1]] * 2  # half-pixel centres, edges held


def test_heatmap_on_image_cropped_leaves_the_rest_unflagged() -> None:
    drawn = on_image(np.ones((2, 2), np.float32), 6, 4, (1, 0, 5, 4))
    assert np.isneginf(drawn[:, [0, 5]]).all()
    assert (drawn[:, 1:5] == 1).all()


def test_heatmap_on_image_padded_drops_the_padding() -> None:
    heatmap = np.array([[9.0] * 4, [1, 1, 1, 1], [2, 2, 2, 2], [9] * 4], np.float32)
    drawn = on_image(heatmap, 4, 2, (0, -1, 4, 3))
    assert drawn.tolist() == [[1] * 4, [2] * 4]


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 20), st.integers(1, 20), st.integers(0, 99))
def test_heatmap_on_image_stays_in_range_and_keeps_constants(
    h: int, w: int, height: int, width: int, seed: int
) -> None:
    heatmap = np.random.default_rng(seed).normal(size=(h, w)).astype(np.float32)
    drawn = on_image(heatmap, width, height, (0, 0, width, height))
    assert drawn.shape == (height, width)
    assert heatmap.min() - 1e-5 <= drawn.min() <= drawn.max() <= heatmap.max() + 1e-5
    assert np.allclose(on_image(np.full((h, w), 3, np.float32), width, height, (0, 0, width, height)), 3)


def test_nothing_is_colored_below_the_range_nor_where_nothing_was_seen() -> None:
    pixels = np.full((1, 4, 3), 100, np.uint8)
    drawn = blended(pixels, np.array([[-np.inf, 0.2, 0.5, 1.0]], np.float32), (0.2, 1.0))
    assert (drawn[0, :2] == 100).all()
    assert (drawn[0, 3] == np.round(100 * 0.25 + np.array([241, 239, 117]) * 0.75)).all()
    assert 0 < np.abs(drawn[0, 2].astype(int) - 100).sum() < np.abs(drawn[0, 3].astype(int) - 100).sum()


# --- patches


def test_patches_by_hand() -> None:
    values = np.array(
        [
            [9, 0, 0, 0, 5],
            [0, 8, 0, 0, 5],
            [0, 0, 0, 0, 1],
            [2, 2, 2, 2, 1],
        ],
        float,
    )
    assert patches(values, 1.5) == [
        Patch(2, (0, 0, 2, 2), 9.0, (0, 0)),  # corners touch
        Patch(2, (4, 0, 5, 2), 5.0, (4, 0)),
        Patch(4, (0, 3, 4, 4), 2.0, (0, 3)),
    ]
    assert patches(values, 9) == []


def test_arms_that_meet_below_are_one() -> None:
    values = np.array([[1, 0, 1, 0, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]], float)
    assert [patch.area for patch in patches(values, 0)] == [11]
    assert [patch.area for patch in patches(values[::-1], 0)] == [11]


@settings(max_examples=200)
@given(st.integers(1, 12), st.integers(1, 12), st.floats(0.2, 0.8), st.integers(0, 10**6))
def test_patches_are_those_of_scipy(height: int, width: int, limit: float, seed: int) -> None:
    values = np.random.default_rng(seed).random((height, width))
    labels, count = ndimage.label(values > limit, np.ones((3, 3)))
    wanted = set()
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        inside = labels == number
        box = (columns.start, rows.start, columns.stop, rows.stop)
        wanted.add((int(inside.sum()), box, float(values[inside].max())))
    found = patches(values, limit)
    assert {patch[:3] for patch in found} == wanted
    assert len(found) == count
    assert all(values[patch.at[1], patch.at[0]] == patch.peak for patch in found)
