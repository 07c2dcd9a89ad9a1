"""`score` and `check` with a folder of models: each image is judged by its own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from onlygood.deploy import routing

Call = Callable[..., Result]
Gray = Callable[[str, int], Path]

HIGH = [0.5 + index / 40 for index in range(19)]  # the second largest: 0.925
LOW = [index / 100 for index in range(19)]  # 0.17


@pytest.fixture
def models(make_tiny: Callable[..., Path], metadata_with: Callable[..., Any], tmp_path: Path) -> Path:
    """A model called high and one called low."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name, scores in (("high", HIGH), ("low", LOW)):
        metadata = metadata_with(calibration={"scores": scores, "max_false_alarms": 0.1})
        make_tiny(metadata=metadata).rename(folder / f"{name}.onnx")
    return folder


@pytest.fixture
def images(gray: Gray, tmp_path: Path) -> Path:
    """The same two images for each model, and one for none."""
    for folder in ("high", "low"):
        for value in (20, 128):
            gray(f"in/{folder}/day/{value:03}.png", value)
    gray("in/other/001.png", 128)
    return tmp_path / "in"


def rows(text: str) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    assert len({row["path"] for row in found}) == len(found)
    return {"/".join(Path(row["path"]).parts[-3:]): row for row in found}


def test_each_image_is_judged_by_the_model_of_its_folder(call: Call, models: Path, images: Path) -> None:
    result = call("score", models, images, "--route", "folder", "-f", "jsonl", "-j", "2")
    found = rows(result.stdout)
    assert [(row.get("product"), row["status"], row["threshold"]) for row in found.values()] == [
        ("high", "normal", 0.925),
        ("high", "normal", 0.925),
        ("low", "normal", 0.17),
        ("low", "anomalous", 0.17),
        (None, "error", None),
    ]
    other = found["in/other/001.png"]
    assert other["error"] == "there is no model for it: no folder above it is called as a model"
    assert (result.exit_code, other["model"], other["score"]) == (2, None, None)
    for name in ("high", "low"):
        alone = rows(call("score", models / f"{name}.onnx", images / name, "-f", "jsonl").stdout)
        for path, row in alone.items():
            there = {key: value for key, value in found[path].items() if key != "product"}
            assert there | {"ms": 0} == row | {"ms": 0}


def test_check_by_a_list(call: Call, models: Path, images: Path, tmp_path: Path) -> None:
    table = tmp_path / "routes.csv"
    table.write_text("path,model\nin/low/day/128.png,high\nin/other/001.png,low\nin/high/day/128.png,low\n")
    result = call("check", models, images / "other", images / "high", "--route", table, "-f", "jsonl")
    assert {path: row["status"] for path, row in rows(result.stdout).items()} == {
        "in/other/001.png": "anomalous",
        "high/day/020.png": "error",
        "high/day/128.png": "anomalous",
    }
    assert "routes.csv does not name it" in result.stderr
    only = call("check", models, images / "low/day/128.png", "--route", table)
    assert (only.exit_code, only.stdout.count("\n")) == (0, 1)


def test_resume_knows_each_images_own_model(
    call: Call, models: Path, images: Path, tmp_path: Path, make_tiny: Callable[..., Path]
) -> None:
    out = tmp_path / "rows.jsonl"
    arguments = ("score", models, images, "--route", "folder", "-o", out, "--resume")
    assert call(*arguments).exit_code == 2
    assert len(out.read_text().splitlines()) == 5
    again = call(*arguments)
    assert "4 of these images were scored by an earlier run" in again.stderr
    assert len(out.read_text().splitlines()) == 5
    make_tiny().rename(models / "low.onnx")  # only its images are judged anew
    assert "2 of these images were scored by an earlier run" in call(*arguments).stderr
    assert [json.loads(line)["threshold"] for line in out.read_text().splitlines()[5:]] == [0.85, 0.85]


def test_models_come_and_go(
    call: Call, models: Path, images: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loaded: list[str] = []
    load = routing.load_model
    monkeypatch.setattr(
        routing, "load_model", lambda path, *more: loaded.append(path.stem) or load(path, *more)
    )
    listed = tmp_path / "list"
    listed.write_text("\n".join(str(images / name) for name in ("high", "low", "high")))
    command = ("score", models, "--files-from", listed, "--route", "folder", "-f", "jsonl", "-j", "1")
    many = call(*command).stdout
    assert loaded == ["high", "low"]
    monkeypatch.setattr(routing, "_KEPT", 1)
    assert [json.loads(line) | {"ms": 0} for line in call(*command).stdout.splitlines()] == [
        json.loads(line) | {"ms": 0} for line in many.splitlines()
    ]
    assert loaded[2:] == ["high", "low", "high"]


def test_heatmaps_and_boxes_are_of_each_model(call: Call, models: Path, images: Path, tmp_path: Path) -> None:
    heat = tmp_path / "heat"
    result = call("score", models, images / "low", "--route=folder", "--boxes", "--heatmaps", heat)
    for row in rows(result.stdout).values():
        assert (row["region_threshold"], Path(row["overlay"]).is_file()) == (0.17, True)


def test_what_is_refused(call: Call, models: Path, images: Path, tmp_path: Path) -> None:
    for words, said in (
        (("--threshold", "1"), "--threshold is said of one model"),
        (("--tile", "8"), "--tile is said of one model"),
        (("--engine", "ray"), "--engine ray is said of one model"),
    ):
        result = call("score", models, images, "--route", "folder", *words)
        assert (result.exit_code, said in result.stderr) == (2, True)
    assert "must be a folder of them" in call("score", models / "low.onnx", images, "--route=folder").stderr
    assert "holds no models" in call("score", images, images, "--route=folder").stderr
    assert "nothing.csv: No such file" in call("score", models, images, "--route=nothing.csv").stderr
    (models / "low.onnx").write_bytes(b"none")
    result = call("score", models, images, "--route", "folder", "-o", tmp_path / "rows.csv")
    assert (result.exit_code, "low.onnx" in result.stderr) == (2, True)
