"""Regions of interest and what to ignore: pictures and polygons onto the model's canvas."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from onlygood.anomaly.data.attention import Attention, read_area
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.spec import InputSpec

SQUARE = [[2, 1], [5, 1], [5, 3], [2, 3]]


def spec(resize: Any = "stretch", height: int = 8, width: int = 16) -> InputSpec:
    return InputSpec(height=height, width=width, channels=3, resize=resize)


def mask(path: Path, width: int, height: int, box: tuple[int, int, int, int]) -> Path:
    image = Image.new("L", (width, height))
    image.paste(255, box)
    image.save(path)
    return path


def polygons(path: Path, **values: Any) -> Path:
    path.write_text(json.dumps({"width": 8, "height": 4, "polygons": [SQUARE]} | values))
    return path


def test_a_mask_is_scaled_as_images_are(tmp_path: Path) -> None:
    roi = mask(tmp_path / "roi.png", 64, 32, (32, 0, 64, 32))
    inside = Attention(roi).inside(spec(), 64, 32)
    assert inside is not None
    assert inside[:, 8:].all()
    assert not inside[:, :8].any()
    cropped = Attention(roi).inside(spec("crop", 8, 8), 64, 32)  # 16 px are cut off on each side
    assert cropped is not None
    assert cropped[:, 4:].all()
    assert not cropped[:, :4].any()


def test_what_is_ignored_is_taken_from_what_is_looked_at(tmp_path: Path) -> None:
    roi = mask(tmp_path / "roi.png", 16, 8, (4, 0, 16, 8))
    ignore = mask(tmp_path / "ignore.png", 16, 8, (0, 4, 16, 8))
    both = Attention(roi, ignore).inside(spec(), 16, 8)
    assert both is not None
    wanted = np.zeros((8, 16), bool)
    wanted[:4, 4:] = True
    assert (both == wanted).all()
    assert (Attention(None, roi).inside(spec(), 16, 8) == ~Attention(roi).inside(spec(), 16, 8)).all()


def test_all_of_the_image_is_no_area(tmp_path: Path) -> None:
    assert Attention().inside(spec(), 16, 8) is None
    assert Attention(mask(tmp_path / "all.png", 16, 8, (0, 0, 15, 8))).inside(spec(), 16, 8) is not None


def test_polygons_and_labelme(tmp_path: Path) -> None:
    wanted = np.zeros((4, 8), bool)
    wanted[1:4, 2:6] = True  # Pillow draws the outline too
    assert (read_area(polygons(tmp_path / "ours.json")) == wanted).all()
    shapes = [{"points": [[2, 1], [5, 3]], "shape_type": "rectangle", "label": "roi"}]
    path = tmp_path / "labelme.json"
    path.write_text(json.dumps({"imageWidth": 8, "imageHeight": 4, "shapes": shapes, "version": "5"}))
    assert (read_area(path) == wanted).all()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"width": 0}, "sides from 1 to"),
        ({"width": 10**9}, "sides from 1 to"),
        ({"width": True}, "sides from 1 to"),
        ({"polygons": [[[1, 1], [2, 2]]]}, "2 points"),
        ({"polygons": [[[1, 1], [2, 2], [1e9, 0]]]}, "far outside"),
        ({"polygons": [["a"]]}, "not polygons"),
        ({"polygons": []}, "marks nothing"),
        (
            {"shapes": [{"points": [[1, 1]], "shape_type": "circle"}], "imageWidth": 8, "imageHeight": 4},
            "circle",
        ),
    ],
)
def test_bad_polygons_say_why(tmp_path: Path, values: dict[str, Any], reason: str) -> None:
    with pytest.raises(OnlygoodError, match=reason):
        read_area(polygons(tmp_path / "x.json", **values))


def test_bad_files_say_why(tmp_path: Path) -> None:
    for name, content in (("x.json", b"{"), ("y.json", b"\xff"), ("x.png", b"no picture")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(OnlygoodError, match=name):
            read_area(tmp_path / name)
    with pytest.raises(OnlygoodError, match=r"[Nn]o such file"):
        read_area(tmp_path / "gone.json")


def test_other_proportions_are_refused(tmp_path: Path) -> None:
    roi = mask(tmp_path / "roi.png", 64, 32, (0, 0, 32, 32))
    with pytest.raises(OnlygoodError, match="same proportions"):
        Attention(roi).inside(spec(), 64, 48)


def test_an_inverted_mask_is_refused(tmp_path: Path) -> None:
    everything = mask(tmp_path / "all.png", 200, 100, (0, 0, 200, 99))
    with pytest.raises(OnlygoodError, match="inverted"):
        Attention(None, everything).inside(spec(), 200, 100)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-5, 30) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(JSON, JSON, JSON, st.booleans())
def test_any_json_is_an_area_or_a_reason(tmp_path: Path, one: Any, two: Any, points: Any, ours: bool) -> None:
    values = {"width": one, "height": two, "polygons": points}
    if not ours:
        values = {"imageWidth": one, "imageHeight": two, "shapes": [{"points": points}]}
    for content in (values, one):
        path = tmp_path / "x.json"
        path.write_text(json.dumps(content))
        try:
            assert read_area(path).any()
        except OnlygoodError as error:
            assert "x.json" in str(error)
