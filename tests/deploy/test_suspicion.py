"""Which held-out images a threshold hangs on, in words."""

import pytest

from onlygood.deploy.suspicion import deciding


def test_images_at_the_threshold_or_above_are_named_the_highest_first() -> None:
    words = deciding(["a.png", "b.png", "c.png", "d.png"], [2.0, 5.0, 1.0, 3.25], 2.0)
    assert "threshold: b.png (5), d.png (3.25), a.png (2); " in words
    assert "c.png" not in words


@pytest.mark.parametrize(("count", "more"), [(5, False), (6, True)])
def test_of_many_five_are_named_and_the_others_counted(count: int, more: bool) -> None:
    words = deciding([f"{i}.png" for i in range(9)], range(9, 0, -1), 10 - count)
    assert "0.png (9), 1.png (8), 2.png (7), 3.png (6), 4.png (5)" in words
    assert ("and 1 more" in words) is more
    assert "5.png" not in words


def test_names_cannot_write_control_codes() -> None:
    assert "\x1b" not in deciding(["\x1b[31m.png"], [1.0], 1.0)
