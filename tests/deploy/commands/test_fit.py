"""`fit` and `pretrain` through the command line: small trainings, one of them killed, and what is refused."""

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner, Result

from onlygood import Detector
from onlygood.anomaly.data.names import product
from onlygood.deploy.cli import app
from onlygood.deploy.commands.common import good_images
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import OUTPUT_MARKER
from onlygood.runtime.model.calibration import threshold
from onlygood.runtime.model.modelfile import load_model

GOOD, SIDE = 48, 96
STEPS = 12
SMALL = ["--steps", str(STEPS), "--max-false-alarms", "0.1", "--quiet"]
for change in ("batch_size=8", "precision=fp32", "threads=1", "checkpoint_minutes=0"):
    SMALL += ["--set", f"training.{change}"]


def texture(rng: np.random.Generator) -> np.ndarray:
    """Grained stripes ``(SIDE, SIDE)`` of random phase and brightness."""
    stripes = 30 * np.sin(np.arange(SIDE) / 3 + rng.uniform(0, 6))
    return (rng.uniform(100, 140) + stripes + rng.normal(0, 6, (SIDE, SIDE))).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "good"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(GOOD):
        Image.fromarray(texture(rng)).save(folder / f"{index:02}.png")
    return folder


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def whole(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of a fit that nothing interrupted."""
    model = tmp_path_factory.mktemp("whole") / "model.onnx"
    result = call("fit", good, "-o", model, *SMALL)
    assert result.exit_code == 0, result.stderr
    return model


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLYGOOD_CACHE", str(tmp_path / "cache"))


def test_killed_and_resumed_is_as_never_interrupted(good: Path, whole: Path, tmp_path: Path) -> None:
    model, work = tmp_path / "model.onnx", tmp_path / "model.work"
    command = [sys.executable, "-m", "onlygood", "fit", str(good), "-o", str(model), *SMALL]
    child = subprocess.Popen(command, start_new_session=True)  # noqa: S603
    try:
        while not (work / "checkpoint.safetensors").exists():
            assert child.poll() is None, "the fit ended before its first checkpoint"
            time.sleep(0.002)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert not model.exists()
    refused = call("fit", good, "-o", model, *SMALL)
    assert refused.exit_code == 2
    assert "--resume" in refused.stderr

    impossible = call("fit", good, "-o", model, *SMALL, "--resume", "--max-false-alarms", "0.01")
    assert impossible.exit_code == 2
    assert impossible.stderr.startswith("onlygood: --max-false-alarms 0.01 needs 99 images held out, and the")
    assert "began at 0.1 and holds out 19" in impossible.stderr

    resumed = call("fit", good, "-o", model, *SMALL, "--resume", "--max-false-alarms", "0.2")
    assert resumed.exit_code == 0, resumed.stderr
    for name in ("encoder.safetensors", "task.safetensors"):
        assert (work / name).read_bytes() == (whole.with_suffix(".work") / name).read_bytes()
    one, other = load_model(model).metadata, load_model(whole).metadata
    assert one.calibration.scores == other.calibration.scores
    assert (one.calibration.max_false_alarms, other.calibration.max_false_alarms) == (0.2, 0.1)
    assert not (work / "checkpoint.safetensors").exists()


def test_the_same_command_writes_the_same_bytes(good: Path, tmp_path: Path) -> None:
    """In processes that hash strings differently, from other folders, with or without cached pixels."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "ONLYGOOD_CACHE": str(tmp_path / "cache")}
    files = []
    for seed in ("1", "2"):
        model = tmp_path / f"out{seed}" / "model.onnx"
        model.parent.mkdir()
        command = [sys.executable, "-m", "onlygood", "fit", os.path.relpath(good, model.parent), *SMALL]
        command += ["-o", "model.onnx", "--set", "training.precision=auto"]
        subprocess.run(  # noqa: S603
            command, check=True, cwd=model.parent, env=environment | {"PYTHONHASHSEED": seed}
        )
        files.append(model.read_bytes())
    assert files[0] == files[1]
    provenance = load_model(model).metadata.provenance
    assert provenance["created"] == "2023-11-14T22:13:20Z"
    assert not {"seconds", "cpu_seconds"} & provenance["training"].keys()


def test_a_user_without_home_and_entry_fits(good: Path, tmp_path: Path) -> None:
    """As in containers that run as any number: nothing asks for a home, neither ours nor a library."""
    code = """
import pwd
def unknown(_): raise KeyError("uid not found")
pwd.getpwuid = unknown
from onlygood.deploy.entry import main
main()
"""
    hidden = ("HOME", "USER", "LOGNAME", "USERNAME", "LNAME", "ONLYGOOD_CACHE", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", code, "fit", str(good), "-o", "model.onnx", *SMALL[:-2]]
    command.remove("--quiet")
    run = subprocess.run(  # noqa: S603
        command, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert f"there is no home folder: decoded images are kept in {tmp_path}/onlygood-" in run.stderr
    assert (tmp_path / "model.onnx").is_file()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("moment", ["", "yesterday", "-1", "1e9", "٣", "9" * 30])
def test_a_source_date_that_is_none_is_told_before_training(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", moment)
    result = call("fit", good, "-o", tmp_path / "model.onnx", *SMALL)
    assert result.exit_code == 2
    assert "SOURCE_DATE_EPOCH" in result.stderr
    assert not (tmp_path / "model.work" / "log.csv").exists()


def test_the_model_verifies_scores_and_knows_where_it_comes_from(
    good: Path, whole: Path, tmp_path: Path
) -> None:
    assert call("verify", whole).exit_code == 0
    data = bytearray(whole.read_bytes())
    data[len(data) // 2] ^= 1
    tampered = tmp_path / "tampered.onnx"
    tampered.write_bytes(data)
    assert call("verify", tampered).exit_code == 2

    info = json.loads(call("info", whole, "--json").stdout)["metadata"]
    assert info["provenance"]["training"]["steps"] == STEPS
    assert info["provenance"]["product"] == product(good) != ""
    parts = info["provenance"]["images"]
    assert parts["train"] + parts["calibration"] == GOOD
    assert info["input"]["channels"] == 1
    heats = {float(result.heatmap.max()) for result in Detector.load(whole).score(sorted(good.glob("*.png")))}
    assert len(info["peaks"]["scores"]) == len(info["calibration"]["scores"])
    assert set(info["peaks"]["scores"]) <= heats

    new = tmp_path / "new"
    new.mkdir()
    rng = np.random.default_rng(1)
    for index in range(4):
        Image.fromarray(texture(rng)).save(new / f"good{index}.png")
    noise = rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    Image.fromarray(noise).save(new / "noise.png")
    rows = [json.loads(line) for line in call("score", whole, new, "-f", "jsonl").stdout.splitlines()]
    assert max(rows, key=lambda row: row["score"])["path"].endswith("noise.png")


def test_the_work_folder_shows_how_it_learned(whole: Path) -> None:
    for name in ("views.png", "summary.png"):
        with Image.open(whole.with_suffix(".work") / name) as drawn:
            assert drawn.width > 600


def test_a_region_of_interest_is_all_that_counts(good: Path, tmp_path: Path) -> None:
    roi = np.zeros((SIDE, SIDE), np.uint8)
    roi[:, 24:] = 255
    Image.fromarray(roi).save(tmp_path / "roi.png")
    model = tmp_path / "model.onnx"
    result = call("fit", good, "-o", model, *SMALL, "--roi", tmp_path / "roi.png")
    assert result.exit_code == 0, result.stderr
    detector = Detector.load(model)
    assert detector.metadata.inside() is not None
    assert detector.metadata.inside().mean() == pytest.approx(0.75, abs=0.01)  # type: ignore[union-attr]
    part = texture(np.random.default_rng(5))
    other = part.copy()
    other[:, :20] = 255
    one, two = detector.score(part), detector.score(other)
    assert (one.score, one.unusable) == (two.score, two.unusable)
    assert "75% of the image is looked at" in call("info", model).stdout
    assert call("verify", model).exit_code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--max-false-alarms", "0.001"], ["0.001", "good images"]),  # 999 would have to be held out
        (["--recipe", "surface"], ["surface", "surfaces"]),
        (["--set", "training.stepz=3"], ["stepz", "steps"]),
        (["--set", "head.names=[oracle]"], ["no head 'oracle'", "gaussian"]),
        (["--set", "task.name=simclr"], ["logprob", "classifier"]),
        (["--set", "encoder_weights=nowhere.safetensors"], ["nowhere.safetensors"]),
    ],
)
def test_what_cannot_work_is_told_before_training(
    good: Path, tmp_path: Path, options: list[str], words: list[str]
) -> None:
    result = call("fit", good, "-o", tmp_path / "model.onnx", *options)
    assert result.exit_code == 2
    assert all(word in result.stderr for word in words), result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "model.onnx").exists()
    assert not (tmp_path / "model.work" / "log.csv").exists()


def equal_standing(good: Path, folder: Path) -> Path:
    for index, path in enumerate(sorted(good.iterdir())):
        copy = folder / f"cam{index % 2}" / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return folder


def test_folders_of_equal_standing_need_a_word(good: Path, tmp_path: Path) -> None:
    data, model = equal_standing(good, tmp_path / "data"), tmp_path / "model.onnx"
    refused = call("fit", data, "-o", model)
    assert refused.exit_code == 2
    assert f"onlygood fit {data} --all-good" in refused.stderr
    wrong = ["--set", "encoder_weights=nowhere.safetensors"]  # stops before training
    accepted = call("fit", data, "-o", model, "--all-good", *wrong)
    assert f"as asked, the good ones to train on: {GOOD} good" in accepted.stderr


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_is_asked_once(
    good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    asked = []

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def confirm(question: str, **_: object) -> bool:
        asked.append(question)
        return answer

    data = equal_standing(good, tmp_path / "data")
    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setattr("typer.confirm", confirm)
    if answer:
        assert len(good_images(data, all_good=False).samples) == GOOD
    else:
        with pytest.raises(OnlygoodError, match="cannot tell"):
            good_images(data, all_good=False)
    assert len(asked) == 1
    assert "cam0 (24), cam1 (24), and no name says which are good. Are all of these images good?" in asked[0]


def test_the_work_folder_is_marked_as_ours_before_training(good: Path, tmp_path: Path) -> None:
    call("fit", good, "-o", tmp_path / "model.onnx", "--set", "encoder_weights=nowhere.safetensors")
    assert (tmp_path / "model.work" / OUTPUT_MARKER).is_file()
    call("pretrain", "no-such-task", good, "-o", tmp_path / "encoder.safetensors")
    assert not (tmp_path / "encoder.work").exists()
    refused = call("fit", good, "-o", tmp_path / "model.onnx", "--work", good)
    assert refused.exit_code == 2
    assert "give a new folder" in refused.stderr


def test_too_few_images_and_bad_ones_are_told(good: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(good.iterdir())[:8]:
        (few / path.name).write_bytes(path.read_bytes())
    (few / "broken.png").write_bytes(b"no image")
    (few / "copy.png").write_bytes((few / "00.png").read_bytes())
    result = call("fit", few, "-o", tmp_path / "model.onnx", "--set", "input.side=64")
    assert result.exit_code == 2
    assert "broken.png" in result.stderr
    assert "1 copies of other images (equal pixels)" in result.stderr
    assert "8" in result.stderr.splitlines()[-1]


def test_one_picture_saved_sixty_times_is_one_image(good: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    with Image.open(good / "00.png") as image:
        for index in range(60):
            text = PngInfo()
            text.add_text("Comment", str(index))
            image.save(copies / f"{index:02}.png", pnginfo=text)
    result = call("fit", copies, "-o", tmp_path / "model.onnx", "--set", "input.side=64")
    assert result.exit_code == 2
    assert "59 copies of other images" in result.stderr
    assert "1 different good images are too few" in result.stderr
    assert not (tmp_path / "model.onnx").exists()


def test_a_group_is_never_both_trained_and_calibrated_on(good: Path, tmp_path: Path) -> None:
    images = sorted(good.iterdir())
    rows = [f"{path},good,part{index // 2}" for index, path in enumerate(images)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,group", *rows]))
    result = call("fit", tmp_path / "list.csv", "-o", tmp_path / "model.onnx", *SMALL)
    assert result.exit_code == 0, result.stderr
    split = json.loads((tmp_path / "model.work" / "split.json").read_text())
    group = {hashlib.sha256(path.read_bytes()).hexdigest(): i // 2 for i, path in enumerate(images)}
    trained, calibrated = ({group[name] for name in split[part]} for part in ("train", "calibration"))
    assert not trained & calibrated
    assert len(calibrated) >= 9  # what a rate of 0.1 needs, of parts
    assert len(split["train"]) + len(split["calibration"]) == GOOD
    held_out = load_model(tmp_path / "model.onnx").metadata.calibration
    assert held_out.parts() == len(calibrated)
    told = call("info", tmp_path / "model.onnx").stdout
    assert f"for new parts: {len(calibrated)} parts, {2 * len(calibrated)} images; smallest rate" in told


def test_a_frame_of_noise_among_the_good_is_named_and_is_not_the_threshold(
    good: Path, tmp_path: Path
) -> None:
    """Wherever the split puts it; which part that is depends on the bytes of the file."""
    mixed, model = tmp_path / "mixed", tmp_path / "model.onnx"
    equal_standing(good, mixed)
    noise = np.random.default_rng(2).integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    Image.fromarray(noise).save(mixed / "cam1" / "noise.png")
    options = [word for word in SMALL if word != "--quiet"] + ["--steps", "40"]
    result = call("fit", mixed, "-o", model, "--all-good", *options)
    assert result.exit_code == 0, result.stderr
    metadata = load_model(model).metadata
    (suspect,) = metadata.suspects
    split = json.loads((tmp_path / "model.work" / "split.json").read_text())
    digest = hashlib.sha256((mixed / "cam1" / "noise.png").read_bytes()).hexdigest()
    assert suspect.path == "cam1/noise.png"
    assert digest in split[suspect.part]
    scores = np.array(metadata.calibration.scores)
    limit = threshold(scores, metadata.calibration.max_false_alarms)
    assert limit < suspect.score
    assert "look at these 1 images" in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if "set the threshold: " in line]
    named = re.findall(r"(cam\S+) \(", line)
    found = [one.score for one in Detector.load(model).score([mixed / name for name in named])]
    assert found == pytest.approx(scores[scores >= limit][::-1])
    told = call("info", model).stdout
    for text in (result.stderr, told):
        assert f"cam1/noise.png, {'learned from' if suspect.part == 'train' else 'held out'}, score" in text
        assert ("without those held out" in text) == (suspect.part == "calibration")


def test_a_covered_lens_fails_the_check_of_a_fitted_model(good: Path, whole: Path, tmp_path: Path) -> None:
    for gray in (0, 128, 255):
        Image.new("L", (SIDE, SIDE), gray).save(tmp_path / f"{gray}.png")
        checked = call("check", whole, tmp_path / f"{gray}.png", "-f", "csv")
        assert (checked.exit_code, "unusable" in checked.stdout) == (2, True)
    assert "unusable" not in call("score", whole, good, "-f", "csv").stdout


def test_good_images_alone_are_not_suspected(whole: Path) -> None:
    assert load_model(whole).metadata.suspects == []
    assert "suspects" not in call("info", whole).stdout.split("provenance")[0]


def test_an_encoder_is_pretrained_and_fitted_upon(good: Path, tmp_path: Path) -> None:
    encoder, model = tmp_path / "encoder.safetensors", tmp_path / "model.onnx"
    quick = ["--steps", "2", "--set", "training.batch_size=8", "--set", "training.threads=1"]
    assert call("pretrain", "rotation", good, "-o", encoder, *quick).exit_code == 0
    one_step = ["--set", "training.lr=1e-12", *SMALL, "--set", f"encoder_weights={encoder}"]
    result = call("fit", good, "-o", model, *one_step)
    assert result.exit_code == 0, result.stderr
    from safetensors.numpy import load_file  # noqa: PLC0415

    before, after = load_file(encoder), load_file(tmp_path / "model.work" / "encoder.safetensors")
    assert before.keys() == after.keys()
    weights = [name for name in before if name.endswith("weight")]
    assert all(np.allclose(before[name], after[name], atol=1e-6) for name in weights)
