"""States of tasks that were written when parts had other names are still read."""

import pytest
import torch
from tiny import make


@pytest.mark.parametrize(
    ("name", "older"),
    [
        ("mae", {"to_decoder.": "enter.", "mask_token": "hidden", "to_pixels.": "paint."}),
        ("damaged-jigsaw", {"colorizer.": "colourist."}),
        ("split-brain", {"to_color.": "to_colour.", ".color.": ".colour."}),
    ],
)
def test_a_state_with_older_names_is_read(name: str, older: dict[str, str]) -> None:
    written, read = make(name, seed=1).state_dict(), make(name, seed=2)
    state = {}
    for key, value in written.items():
        for new, old in older.items():
            key = key.replace(new, old)  # noqa: PLW2901
        state[key] = value
    assert len(state.keys() - written.keys()) >= len(older)
    read.load_state_dict(state)
    assert all(torch.equal(value, written[key]) for key, value in read.state_dict().items())
