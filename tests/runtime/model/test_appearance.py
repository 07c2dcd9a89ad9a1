import numpy as np
import pytest

from onlygood.runtime.model.appearance import Appearance, appearance, collected
from onlygood.runtime.model.frames import measure


def scene(column: int, row: int) -> np.ndarray:
    """A 3 × 3 part on an even background, 11 rows of 21 pixels."""
    image = np.full((11, 21, 3), 100, np.uint8)
    image[row - 1 : row + 2, column - 1 : column + 2] = 160
    return image


def test_by_hand() -> None:
    look = appearance(scene(10, 5))
    assert (look.across, look.down) == pytest.approx((0.5, 0.5))
    assert look.brightness == pytest.approx(100 + 60 * 9 / 231)
    frame = measure(scene(10, 5))
    assert look[:3] == (frame.brightness, frame.contrast, frame.sharpness)


def test_a_shift_moves_the_position_alone_and_by_so_much() -> None:
    before, after = appearance(scene(5, 5)), appearance(scene(9, 6))
    assert after[:3] == pytest.approx(before[:3])
    assert (after.across - before.across, after.down - before.down) == pytest.approx((4 / 20, 1 / 10))


def test_light_does_not_move_the_position() -> None:
    image = scene(7, 3)
    brighter = appearance(np.minimum(image.astype(int) + 30, 255).astype(np.uint8))
    assert brighter[3:] == pytest.approx(appearance(image)[3:])
    assert brighter.brightness - appearance(image).brightness == pytest.approx(30)


def test_an_even_image_has_its_center_in_the_middle() -> None:
    assert appearance(np.full((4, 4, 1), 9, np.uint8)) == Appearance(9.0, 0.0, 0.0, 0.5, 0.5)


def test_collected_by_hand() -> None:
    one, two = Appearance(2, 0.123456789, 3, 0, 1), Appearance(1, 5, 4, 1, 0)
    both = collected([one, two])
    assert (both.brightness, both.contrast, both.down) == ([1, 2], [0.1234568, 5], [0, 1])
    three = collected([Appearance(1.5, 0, 0, 0, 0)], both)
    assert three.brightness == [1, 1.5, 2]
