"""`onlygood explain` on a model whose scores are known: the mean of the pixels over 255."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from onlygood.deploy.neighbors import nearest
from onlygood.deploy.panels import SIDE
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.model.detector import Detector

Call = Callable[..., Result]
Gray = Callable[[str, int], Path]
ROOT = Path(__file__).parents[3]


def save(path: Path, pixels: np.ndarray[Any, Any]) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def half(path: Path, left: int, right: int) -> Path:
    """An image of two halves."""
    return save(path, np.repeat([[left] * 4 + [right] * 4], 8, axis=0))


def test_the_words(call: Call, tiny: Path, tmp_path: Path) -> None:
    """Calibration: 0, 0.05 … 0.9; the heat's limit is the threshold, since the file holds no peaks."""
    image = half(tmp_path / "x.png", 204, 252)  # .8 and .988
    text = call("explain", tiny, image).stdout
    assert f"{image}: anomalous" in text
    assert "score 0.894118, above the limit of 0.85, which at most 10 % of new good images exceed" in text
    assert "1 of 19 good images scored as high (p = 0.1)" in text
    assert "scores about 0.45: half of them lie below, 9 of 10 below 0.81, the highest has 0.9" in text
    assert "usual good image has 0.45, and the limit is 0.85" in text
    assert "0.9882  x 3 to 8, y 0 to 8 px" in text
    assert "what makes the score" not in text  # one head


def test_a_calm_image_has_no_place(call: Call, tiny: Path, gray: Gray) -> None:
    text = call("explain", tiny, gray("x.png", 52)).stdout
    assert ": normal" in text
    assert "nowhere above it; the hottest place has 0.2039" in text
    assert "14 of 19 good images scored as high (p = 0.75)" in text
    text = call("explain", tiny, gray("x.png", 0)).stdout
    assert "19 of 19 good images scored as high (p = 1)" in text  # one of them as high, to the digit


def test_of_many_regions_the_first_are_named(
    call: Call, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlygood.deploy.explaining._MOST_REGIONS", 1)
    pixels = np.zeros((8, 8))
    pixels[:4, :4], pixels[4:, 4:] = 240, 255  # corners of the heatmap that do not touch
    lines = call("explain", tiny, save(tmp_path / "x.png", pixels)).stdout.splitlines()
    assert [line for line in lines if " px" in line] == ["         1  x 5 to 8, y 5 to 8 px"]
    assert "  and 1 more" in lines


def test_json(call: Call, tiny: Path, gray: Gray, tmp_path: Path) -> None:
    gray("good/near.png", 102)
    found = json.loads(
        call("explain", tiny, gray("x.png", 255), "--good", tmp_path / "good", "--json").stdout
    )
    assert (found["status"], found["score"], found["threshold"], found["p_value"]) == (
        "anomalous",
        1,
        0.85,
        0.05,
    )
    assert (found["good_images"], found["good_images_as_high"]) == (19, 0)
    assert found["good_scores"] == {"median": 0.45, "90 %": 0.81, "highest": 0.9}
    assert found["regions"][0]["box"] == [0, 0, 8, 8]
    (near,) = found["neighbors"]
    assert near["path"] == str(tmp_path / "good/near.png")
    assert near["score"] == pytest.approx(0.4)


def test_parts_are_counted_where_they_are_named(
    call: Call, make_tiny: Callable[..., Path], metadata_with: Callable[..., Any], gray: Gray
) -> None:
    held_out = {"scores": [0.1, 0.2, 0.3, 0.4], "groups": [0, 0, 1, 1], "max_false_alarms": 0.5}
    model = make_tiny(metadata=metadata_with(calibration=held_out))
    assert "of good parts (p = 0.5, 2 parts)" in call("explain", model, gray("x.png", 89)).stdout


def test_a_frame_that_cannot_be_judged_says_so(
    call: Call, make_tiny: Callable[..., Path], metadata_with: Callable[..., Any], gray: Gray
) -> None:
    spans = {"brightness": (0, 255), "contrast": (8, 128), "clipped": (0, 1), "sharpness": (0, 9)}
    text = call("explain", make_tiny(metadata=metadata_with(frames=spans)), gray("x.png", 51)).stdout
    assert "cannot be judged, and its score says nothing: nearly constant" in text


def test_what_is_no_image_is_an_error(call: Call, tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    result = call("explain", tiny, tmp_path / "x.png")
    assert result.exit_code == 2
    assert "x.png: " in result.output
    assert result.stdout == ""


def test_the_most_similar_are_so_by_pattern_and_not_by_light(tiny: Path, tmp_path: Path) -> None:
    """An image is not its own neighbor, nor is a copy of it; what is no image is passed over."""
    image = half(tmp_path / "good/itself.png", 50, 150)
    half(tmp_path / "good/copy.png", 50, 150)
    lighter = half(tmp_path / "good/lighter.png", 130, 230)
    half(tmp_path / "good/flat.png", 100, 100)
    weaker = half(tmp_path / "good/weaker.png", 60, 140)
    (tmp_path / "good/none.png").write_bytes(b"no image")
    detector = Detector.load(tiny)
    pixels = np.asarray(Image.open(image))[..., None]
    found = nearest(detector, pixels, tmp_path / "good", 2)
    assert [one.path for one in found] == [lighter, weaker]
    assert [one.distance for one in found] == pytest.approx([0, 10])


def test_what_lies_outside_the_region_of_interest_makes_no_image_another(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector.load(tiny)
    monkeypatch.setattr(Detector, "inside", np.repeat([[True] * 4 + [False] * 4], 8, axis=0))
    same = save(tmp_path / "good/same.png", np.repeat([[10, 10, 90, 90, 255, 0, 255, 0]], 8, axis=0))
    save(tmp_path / "good/other.png", np.repeat([[90, 10, 10, 90, 40, 40, 40, 40]], 8, axis=0))
    pixels = np.repeat([[10, 10, 90, 90, 40, 40, 40, 40]], 8, axis=0).astype(np.uint8)[..., None]
    (found,) = nearest(detector, pixels, tmp_path / "good", 1)
    assert (found.path, found.distance) == (same, 0)


def test_without_other_images_there_is_nothing_to_compare(tiny: Path, gray: Gray, tmp_path: Path) -> None:
    gray("good/itself.png", 7)
    with pytest.raises(OnlygoodError, match="name a folder of good ones"):
        nearest(Detector.load(tiny), np.full((8, 8, 1), 7, np.uint8), tmp_path / "good", 3)


def test_the_picture_is_a_png(call: Call, tiny: Path, gray: Gray, tmp_path: Path) -> None:
    result = call("explain", tiny, gray("x.png", 51), "-o", tmp_path / "why.jpg")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"onlygood: {tmp_path}/why.jpg: the picture's name ends in .png\n"
    assert not (tmp_path / "why.jpg").exists()


def test_the_picture_shows_image_heat_and_good_ones(call: Call, tiny: Path, tmp_path: Path) -> None:
    """The right half is hot: its panel differs from the image there, and nowhere else."""
    image = half(tmp_path / "x.png", 51, 255)
    half(tmp_path / "good/a.png", 60, 60)
    result = call("explain", tiny, image, "--good", tmp_path / "good", "-o", tmp_path / "x.out.png", "-q")
    assert result.exit_code == 0
    sheet = np.asarray(Image.open(io.BytesIO((tmp_path / "x.out.png").read_bytes()))).astype(int)
    assert sheet.shape[1] == 12 + 3 * (SIDE + 12)
    plain, heated, good = (sheet[12 : 12 + SIDE, 12 + i * (SIDE + 12) :][:, :SIDE] for i in range(3))
    assert np.abs(plain[:, : SIDE // 8] - 51).max() < 3
    assert np.array_equal(plain[:, : SIDE // 4], heated[:, : SIDE // 4])
    assert np.abs(plain - heated)[:, -SIDE // 4 :].min(axis=(0, 1)).max() > 50
    assert np.abs(good - 60).max() == 0


def test_it_needs_no_training_library(tiny: Path, gray: Gray) -> None:
    program = (
        "import sys\n"
        "for name in ('torch', 'scipy', 'sklearn', 'matplotlib', 'yaml', 'cv2', 'onnx'):\n"
        "    sys.modules[name] = None\n"
        "from onlygood.deploy.cli import invoke\n"
        f"sys.exit(invoke(['explain', {str(tiny)!r}, {str(gray('x.png', 9))!r}]))\n"
    )
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
