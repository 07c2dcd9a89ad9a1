"""`probe` and `compare` as they are called, on a few colored images."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from onlygood.deploy.commands import compare, probe
from onlygood.deploy.options.probes import CompareOptions, ProbeOptions
from onlygood.deploy.options.shared import MetricsFormat
from onlygood.pretrain.networks.registry import create_encoder
from onlygood.pretrain.networks.weights import save_weights
from onlygood.pretrain.probe.result import ProbeResult
from onlygood.runtime.errors import OnlygoodError


@pytest.fixture
def labelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Red and blue noise of 32 px, 8 of each to train and 5 to test."""
    monkeypatch.setenv("ONLYGOOD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(probe, "available_cpus", lambda: 1)
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("test", 5)):
        for channel, name in ((0, "red"), (2, "blue")):
            folder = tmp_path / "data" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 120, (32, 32, 3), dtype=np.uint8)
                pixels[:, :, channel] += 120
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "data"


def call(labelled: Path, **changes: Any) -> int:
    options = {"encoder": "random:small", "protocol": "knn", "overrides": ["probe.k=3"], "quiet": True}
    return probe.run(ProbeOptions(labelled=labelled, **{**options, **changes}))


def compared(*results: Path, **changes: Any) -> int:
    return compare.run(CompareOptions(results=list(results), quiet=True, **changes))


def test_a_result_has_every_setting(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, output = tmp_path / "mine.safetensors", tmp_path / "r.json"
    save_weights(create_encoder("small", 3, seed=4), weights, standardize="image")
    assert call(labelled, encoder=str(weights), output=output, stages="1,3") == 0
    result = ProbeResult.load(output)
    assert result.encoder.label == "mine"
    assert (result.encoder.name, result.encoder.channels) == ("small", 3)
    assert result.standardize == "image"
    with pytest.raises(OnlygoodError, match="was trained with --standardize image"):
        call(labelled, encoder=str(weights), standardize="fixed")
    assert result.encoder.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert result.settings == {"pool": "mean", "dimensions": 9000, "k": 3, "temperature": 0.1, "chunk": 512}
    assert result.data.train == {"blue": 8, "red": 8}
    assert result.data.test == {"blue": 5, "red": 5}
    assert (result.data.input.height, result.data.input.channels) == (32, 3)
    assert [row.stage for row in result.rows] == [1, 3]
    assert result.rows[0].value == 1
    words = capsys.readouterr().out
    assert "mine" in words
    assert "1.000 (0.722–1.000)" in words


def test_json_on_stdout(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(labelled, format=MetricsFormat.JSON, protocol="linear", overrides=["probe.epochs=2"])
    found = ProbeResult.parse(json.loads(capsys.readouterr().out), "stdout")
    assert found.settings["epochs"] == 2
    assert len(found.rows) == 4


def test_an_unreadable_image_is_counted(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (labelled / "train/red/broken.png").write_bytes(b"no image")
    assert call(labelled, output=tmp_path / "r.json", quiet=False) == 2
    assert ProbeResult.load(tmp_path / "r.json").data.unreadable == 1
    assert "broken.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": "random:smal"}, "no encoder"),
        ({"encoder": "absent.safetensors"}, "absent.safetensors"),
        ({"protocol": "kn"}, "did you mean 'knn'"),
        ({"overrides": ["k=3"]}, "begin with probe., input."),
        ({"overrides": ["probe.kk=3"]}, "did you mean 'k'"),
        ({"stages": "5"}, "stages 1 to 4"),
        ({"stages": "last"}, "write numbers"),
        ({"standardize": "none"}, "image, fixed, unit, plain or imagenet"),
    ],
)
def test_errors_for_people(labelled: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(OnlygoodError, match=words):
        call(labelled, **changes)


def test_a_file_that_does_not_say_its_encoder(labelled: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.safetensors"
    save_file({f"encoder.{k}": v for k, v in create_encoder("small", 3).state_dict().items()}, bare)
    with pytest.raises(OnlygoodError, match="--encoder NAME"):
        call(labelled, encoder=str(bare))
    assert call(labelled, encoder=str(bare), name="small") == 0


def test_seeds_become_one_line_with_their_spread(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / f"{seed}.json" for seed in range(3)]
    for seed, path in enumerate(paths):
        call(labelled, seed=seed, output=path)
    values = [ProbeResult.load(path).rows[3].value for path in paths]
    capsys.readouterr()
    plot = tmp_path / "plot.png"
    compared(*paths, output=plot, format=MetricsFormat.JSON)
    out, err = capsys.readouterr()
    (line,) = json.loads(out)
    assert line["encoder"] == "random:small"
    last = line["stages"][3]
    assert last["seeds"] == 3
    assert last["value"] == pytest.approx(np.mean(values))
    assert last["std"] == pytest.approx(np.std(values, ddof=1))
    assert (last["low"], last["high"]) == (min(values), max(values))
    assert err == ""
    assert Image.open(plot).size[0] > 400
    compared(*paths)
    assert "(3 seeds)" in capsys.readouterr().out
    with pytest.raises(OnlygoodError, match="given twice"):
        compared(*paths, paths[0])


def test_what_does_not_compare_is_named(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(labelled, output=tmp_path / "a.json")
    call(labelled, output=tmp_path / "b.json", overrides=["probe.k=5"])
    (labelled / "train/red/0.png").unlink()
    call(labelled, output=tmp_path / "c.json", overrides=["probe.k=5"], encoder="random:lenet")
    capsys.readouterr()
    compared(*(tmp_path / f"{name}.json" for name in "abc"))
    out, err = capsys.readouterr()
    assert out.count("random:small") == 2
    assert "knn: results with different images and settings do not compare" in err


def test_two_files_of_one_name_are_told_apart(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        weights = tmp_path / str(number) / "encoder.safetensors"
        weights.parent.mkdir()
        save_weights(create_encoder("small", 3, seed=number), weights, standardize="fixed")
        call(labelled, encoder=str(weights), output=tmp_path / f"{number}.json")
    capsys.readouterr()
    compared(tmp_path / "1.json", tmp_path / "2.json", format=MetricsFormat.JSON)
    labels = [line["encoder"] for line in json.loads(capsys.readouterr().out)]
    assert labels[0] != labels[1]
    assert all(label.startswith("encoder ") for label in labels)


def test_pictures_have_known_formats(tmp_path: Path) -> None:
    with pytest.raises(OnlygoodError, match=r"\.png"):
        compared(output=tmp_path / "plot.gif")
