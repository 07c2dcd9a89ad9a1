"""docs/model-file.md says what is true: its code runs, its numbers come out, its table is the schema."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel

from onlygood import Detector
from onlygood.runtime.images.reader import load_image
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model import calibration
from onlygood.runtime.model.metadata import SCHEMA_VERSION, Metadata
from onlygood.runtime.model.modelfile import load_model
from onlygood.runtime.model.selftest import generated_images

PAGE = (Path(__file__).parents[3] / "docs/model-file.md").read_text(encoding="utf-8")
PROSE = " ".join(PAGE.split())  # wherever its lines break
EXAMPLE, SEAL, FORMULAS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of all fields, down to what is no model itself."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_the_table_lists_the_schema() -> None:
    table = PAGE.partition("## The metadata")[2].partition("## ")[0]
    listed = [key for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for key in row.split(", ")]
    assert [key.strip("`") for key in listed] == list(keys(Metadata))
    assert f"schema version {SCHEMA_VERSION}." in PROSE


@pytest.mark.parametrize(
    ("value", "verdict"), [(52, "0.203922 0.75 normal"), (230, "0.901961 0.05 anomalous")]
)
def test_the_example_says_what_onlygood_says(
    tiny: Path, gray: Callable[[str, int], Path], value: int, verdict: str
) -> None:
    image = gray("part.png", value)
    command = [sys.executable, "-c", EXAMPLE, str(tiny), str(image)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    assert said.stdout.strip() == verdict
    result = Detector.load(tiny).score(image)
    word = "anomalous" if result.anomalous else "normal"
    assert f"{result.score:.6g} {result.p_value:.4g} {word}" == verdict


def test_the_worked_calibration() -> None:
    scores = np.arange(19) / 20
    assert calibration.threshold(scores, 0.1) == 0.85
    np.testing.assert_allclose(calibration.p_values(scores, np.array([0.86, 0.85])), [0.1, 0.15])
    assert calibration.smallest_alpha(19) == 0.05
    assert calibration.minimum_n(0.01) == 99
    small, large = calibration.achieved_interval(19, 0.1), calibration.achieved_interval(199, 0.01)
    assert f"between {small.low:.1%} and {small.high:.0%}".replace("%", " %") in PROSE
    assert f"{large.low:.2%} to {large.high:.1%}".replace("%", " %") in PROSE


def test_the_worked_parts() -> None:
    scores, groups = np.arange(1.0, 7.0), [0, 0, 0, 1, 2, 2]
    weights = calibration.part_weights(groups)
    found = calibration.p_values(scores, np.array([5.5, 4.5, 3.0]), weights)
    np.testing.assert_allclose(found, [0.375, 0.5, (1 + 1 / 3 + 1 + 1) / 4])
    assert calibration.threshold(scores, 0.375, weights) == 5
    assert calibration.p_values(calibration.part_maxima(scores, groups), np.array([3.5])) == [0.75]


def test_the_example_judges_by_parts(
    make_tiny: Callable[..., Path], metadata_with: Callable[..., Metadata], gray: Callable[[str, int], Path]
) -> None:
    """Six images of the second part score as high, of six sixths; the first one's score lower."""
    held_out = {"scores": [0.1] * 3 + [0.9] * 6, "groups": [5] * 3 + [2] * 6, "max_false_alarms": 0.5}
    model, image = make_tiny(metadata=metadata_with(calibration=held_out)), gray("part.png", 52)
    command = [sys.executable, "-c", EXAMPLE, str(model), str(image)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    assert said.stdout.strip() == "0.203922 0.6667 normal"
    assert Detector.load(model).score(image).p_value == 2 / 3


def test_the_seal_is_computed_as_written(tiny: Path) -> None:
    code = SEAL.replace("model.onnx", str(tiny))
    seal = load_model(tiny).metadata.seal
    exec(code, {"hashlib": hashlib, "seal": seal})  # noqa: S102
    with pytest.raises(AssertionError):
        exec(code, {"hashlib": hashlib, "seal": seal[::-1]})  # noqa: S102


def test_the_formulas_of_the_self_test() -> None:
    spec = InputSpec(height=24, width=40, channels=3)
    y, x, c = np.ogrid[:24, :40, :3]
    for i, image in enumerate(generated_images(spec, 8)):
        values = {"x": x, "y": y, "c": c, "H": 24, "W": 40, "f": i // 4 + 1}
        np.testing.assert_array_equal(image, eval(FORMULAS.splitlines()[i % 4], values) % 256)  # noqa: S307


def photograph(height: int, width: int) -> Image.Image:
    """Smooth shapes, and fine stripes that a shrunk decode blurs in its own way."""
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(60, 180, (7, 9), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    stripes = np.where(np.arange(width) % 7 < 2, 70, 0) + np.where(np.arange(height) % 5 < 1, 60, 0)[:, None]
    return Image.fromarray((smooth + stripes).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("size", [(300, 300), (2048, 2048), (6000, 400)])
def test_the_example_and_the_code_see_the_same_pixels(
    *,
    tiny: Path,
    tmp_path: Path,
    form: str,
    size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / f"part.{form.lower()}"
    photograph(size[1], size[0]).save(path, form)
    monkeypatch.setattr(sys, "argv", ["example.py", str(tiny), str(path)])
    names: dict[str, Any] = {}
    exec(EXAMPLE, names)  # noqa: S102
    detector = Detector.load(tiny)
    spec = detector.metadata.input
    np.testing.assert_array_equal(names["pixels"][0], load_image(path, spec).pixels)
    assert capsys.readouterr().out.startswith(f"{detector.score(path).score:.6g} ")
    if form == "JPEG" and size == (2048, 2048):
        reduced = load_image(path, spec.model_copy(update={"jpeg": "reduced"})).pixels
        assert not np.array_equal(names["pixels"][0], reduced), "this test could not tell them apart"


def test_the_example_refuses_reduced_jpegs(
    make_tiny: Callable[..., Path],
    metadata_with: Callable[..., Metadata],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = {"height": 8, "width": 8, "channels": 1, "jpeg": "reduced"}
    model = make_tiny(metadata=metadata_with(input=size))
    for name in ("part.jpg", "part.png"):
        photograph(300, 300).save(tmp_path / name)
        monkeypatch.setattr(sys, "argv", ["example.py", str(model), str(tmp_path / name)])
        if name == "part.png":
            exec(EXAMPLE, {})  # noqa: S102
        else:
            with pytest.raises(AssertionError, match="The input"):
                exec(EXAMPLE, {})  # noqa: S102


@pytest.mark.parametrize("size", [(2048, 2048), (6000, 400), (2048, 1000), (2049, 2048), (300, 300)])
def test_reduced_is_the_rule_that_the_page_states(tmp_path: Path, size: tuple[int, int]) -> None:
    """Recomputed by the page's words, without the reader."""
    width, height = size
    spec = InputSpec(height=64, width=96, channels=1, jpeg="reduced")
    photograph(height, width).save(tmp_path / "part.jpg", quality=95)
    factors = [
        factor
        for factor in (8, 4, 2)
        if width % factor == 0 == height % factor and width >= 2 * factor * 96 and height >= 2 * factor * 64
    ]
    image = Image.open(tmp_path / "part.jpg")
    if factors:
        image.draft("L", (width // factors[0], height // factors[0]))
        assert image.size == (width // factors[0], height // factors[0])
    want = image.resize((96, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(load_image(tmp_path / "part.jpg", spec).pixels[..., 0], np.asarray(want))
