"""Intervals against published numbers, and the JSON of a result."""

import json
from pathlib import Path

import pytest

from onlygood.pretrain.probe.result import (
    DataInfo,
    EncoderInfo,
    ProbeResult,
    accuracy_row,
    mean_row,
    student,
    wilson,
)
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.spec import InputSpec


def result() -> ProbeResult:
    return ProbeResult(
        protocol="linear",
        settings={"epochs": 30},
        seed=1,
        standardize="fixed",
        device="cpu",
        encoder=EncoderInfo(label="a", name="small", channels=3, sha256="0", source="a.safetensors"),
        data=DataInfo(
            source="d",
            description="d",
            fingerprint="f",
            train={"é": 3},
            test={"é": 2},
            unreadable=0,
            notes=[],
            input=InputSpec(height=32, width=32, channels=3),
        ),
        rows=[accuracy_row(2, 1, 2, {"dimensions": 5})],
        seconds=1.0,
        versions={},
    )


def test_wilson_against_newcombe_1998() -> None:
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(29, 29) == pytest.approx((0.8830, 1.0), abs=5e-5)


def test_student() -> None:
    assert student(11) == pytest.approx(2.228, abs=5e-4)
    row = mean_row(1, "m", [0.4, 0.5, 0.6])
    assert row.value == pytest.approx(0.5)
    assert row.details["std"] == pytest.approx(0.1)
    assert row.high - row.value == pytest.approx(4.303 * 0.1 / 3**0.5, abs=1e-4)
    assert row.value - row.low == pytest.approx(row.high - row.value)


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(result().to_json(), encoding="utf-8")
    assert ProbeResult.load(path) == result()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no", "not a JSON file"),
        ("[1]", "not a result"),
        ("{}", "not a result"),
        ('{"protocol": 1}', "settings"),
    ],
)
def test_files_that_are_no_results(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(OnlygoodError, match=words):
        ProbeResult.load(path)
    with pytest.raises(OnlygoodError, match="No such file"):
        ProbeResult.load(tmp_path / "absent.json")


def test_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps({**json.loads(result().to_json()), "best_epoch": 3}))
    with pytest.raises(OnlygoodError, match="best_epoch"):
        ProbeResult.load(path)
