"""docs/model-file.md says what is true: its code runs, its numbers come out, its table is the schema."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel

from onlygood import Detector
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model import calibration
from onlygood.runtime.model.metadata import SCHEMA_VERSION, Metadata
from onlygood.runtime.model.modelfile import load_model
from onlygood.runtime.model.selftest import generated_images

PAGE = (Path(__file__).parents[3] / "docs/model-file.md").read_text(encoding="utf-8")
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
    assert f"schema\nversion {SCHEMA_VERSION}." in PAGE


@pytest.mark.parametrize(
    ("value", "verdict"), [(52, "0.203922 0.75 normal"), (230, "0.901961 0.05 anomalous")]
)
def test_the_example_says_what_onlygood_says(
    tiny: Path, grey: Callable[[str, int], Path], value: int, verdict: str
) -> None:
    image = grey("part.png", value)
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
    assert f"between {small.low:.1%} and {small.high:.0%}".replace("%", " %") in PAGE.replace("\n", " ")
    assert f"{large.low:.2%} to {large.high:.1%}".replace("%", " %") in PAGE


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
