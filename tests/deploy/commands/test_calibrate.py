"""`calibrate` as it is called: what it writes, what it counts, what it leaves out and refuses."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from onlygood.runtime.model import modelfile
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.model.modelfile import load_model

Call = Callable[..., Result]
Gray = Callable[..., Path]
Make = Callable[..., Path]


def good(gray: Gray, values: range, folder: str = "good") -> Path:
    return [gray(f"{folder}/{value:03d}.png", value) for value in values].pop().parent


def test_the_threshold_is_that_of_the_new_images(call: Call, tiny: Path, gray: Gray) -> None:
    """At 10 % of 19: the second largest, 118 of 101 … 119, of 255."""
    result = call("calibrate", tiny, good(gray, range(101, 120)))
    assert result.exit_code == 0, result.stderr
    metadata = load_model(tiny).metadata
    assert metadata.calibration.scores == pytest.approx([value / 255 for value in range(101, 120)])
    assert metadata.peaks is not None
    assert metadata.peaks.scores == pytest.approx(metadata.calibration.scores)  # the images are even
    assert metadata.appearance is not None
    assert metadata.appearance.brightness == list(range(101, 120))
    assert "threshold                       0.85    0.462745" in result.stdout
    assert hashlib.sha256(tiny.read_bytes()).hexdigest() in result.stdout
    assert metadata.history[0].before.threshold == 0.85
    scored = call("score", tiny, gray("new/118.png", 118), gray("new/119.png", 119), "-f", "json")
    assert [row["status"] for row in json.loads(scored.stdout)] == ["normal", "anomalous"]
    assert call("verify", tiny).exit_code == 0


def test_a_new_file_leaves_the_old_one_alone(call: Call, tiny: Path, gray: Gray, tmp_path: Path) -> None:
    before = tiny.read_bytes()
    output = tmp_path / "new.onnx"
    facts = json.loads(
        call("calibrate", tiny, good(gray, range(101, 120)), "--append", "-o", output, "--json").stdout
    )
    assert tiny.read_bytes() == before
    assert (facts["images"], facts["now"]["images"], facts["before"]["images"]) == (19, 38, 19)
    assert len(load_model(output).metadata.calibration.scores) == 38
    again = call("calibrate", output, good(gray, range(110, 130)), "--append", "--json")
    facts = json.loads(again.stdout)
    assert (facts["images"], facts["left_out"]) == (10, {"counted already": 19})
    assert len(load_model(output).metadata.history) == 2
    anew = call("calibrate", output, good(gray, range(110, 130)), "--json")
    assert json.loads(anew.stdout)["images"] == 29


def test_what_must_not_count_is_left_out_and_named(
    call: Call, make_tiny: Make, metadata_with: Callable[..., Metadata], gray: Gray
) -> None:
    learned = hashlib.sha256(np.full((8, 8, 1), 105, np.uint8).tobytes()).hexdigest()[:16]
    frames = {
        "brightness": (101, 125),
        "contrast": (0, 0),
        "clipped": (0, 0),
        "sharpness": (0, 0),
    }
    model = make_tiny(metadata=metadata_with(provenance={"pixel_hashes": [learned]}, frames=frames))
    folder = good(gray, range(101, 121))
    Image.fromarray(np.full((9, 9), 106, np.uint8)).save(folder / "copy.png")
    (folder / "broken.png").write_bytes(b"no image")
    gray("good/dark.png", 2)
    result = call("calibrate", model, folder, "--json")
    assert json.loads(result.stdout)["left_out"] == {
        "known to the model from its training": 1,
        "unreadable": 1,
        "a copy of another": 1,
        "unusable frame": 1,
    }
    assert "left out, unusable frame: " in result.stderr
    assert "dark.png: too dark: mean gray level 2" in result.stderr
    assert len(load_model(model).metadata.calibration.scores) == 19
    assert load_model(model).metadata.history[0].left_out == 4
    judged = call("calibrate", model, folder, "--any-frame", "--json")
    assert json.loads(judged.stdout)["images"] == 20


def test_feedback_counts_and_is_counted(call: Call, tiny: Path, gray: Gray, tmp_path: Path) -> None:
    """Above 0.85 · 255 = 216.75 images were flagged. The threshold of 18 and 2 is 2nd largest: 220."""
    folder = good(gray, range(101, 119))
    for value in (220, 225, 230, 240):
        gray(f"{value}.png", value)
    gray("good/wrong.png", 230)  # passed, and then called anomalous
    feedback = tmp_path / "said.csv"
    feedback.write_text("path,label\n220.png,good\n225.png,OK\n230.png,bad\n240.png,1\n")
    facts = json.loads(call("calibrate", tiny, folder, "--feedback", feedback, "--json").stdout)
    assert facts["images"] == 20
    assert facts["feedback"] == {
        "fine": 2,
        "fine_flagged": 2,
        "fine_flagged_now": 1,
        "anomalous": 2,
        "anomalous_flagged": 2,
        "anomalous_flagged_now": 2,
    }
    assert facts["left_out"] == {"called anomalous by the feedback": 1}
    assert facts["now"]["threshold"] == pytest.approx(220 / 255)
    told = call("info", tiny).stdout
    assert "calibrated anew 1 time" in told
    assert "of 2 fine ones 2 had been flagged" in told


def test_feedback_alone_is_no_calibration(call: Call, tiny: Path, gray: Gray, tmp_path: Path) -> None:
    gray("220.png", 220)
    feedback = tmp_path / "said.csv"
    feedback.write_text("path,label\n220.png,good\n")
    refused = call("calibrate", tiny, "--feedback", feedback)
    assert refused.exit_code == 2
    assert "feedback alone can only be added, with --append" in refused.stderr
    result = call("calibrate", tiny, "--feedback", feedback, "--append", "-q")
    assert result.exit_code == 0
    assert "warning: the feedback came alone" in result.stderr
    assert len(load_model(tiny).metadata.calibration.scores) == 20


def test_too_few_images_change_nothing(call: Call, tiny: Path, gray: Gray) -> None:
    before = tiny.read_bytes()
    folder = good(gray, range(101, 105))
    result = call("calibrate", tiny, folder)
    assert result.exit_code == 2
    assert "needs 9 good images to calibrate on; there are 4, which allow 0.2" in result.stderr
    assert tiny.read_bytes() == before
    assert call("calibrate", tiny, folder, "--max-false-alarms", "0.2").exit_code == 0
    assert load_model(tiny).metadata.calibration.max_false_alarms == 0.2


def test_parts_are_named_by_the_path_or_the_list(call: Call, tiny: Path, gray: Gray, tmp_path: Path) -> None:
    for part in range(10):
        for view in range(2):
            gray(f"good/part{part}_{view}.png", 100 + 2 * part + view)
    result = call("calibrate", tiny, tmp_path / "good", "--groups", r"part\d+", "--json")
    assert json.loads(result.stdout)["now"]["parts"] == 10
    held_out = load_model(tiny).metadata.calibration
    assert held_out.groups == [i // 2 for i in range(20)]
    refused = call("calibrate", tiny, good(gray, range(10, 40), "other"), "--append")
    assert "promises for new parts, and counts 10 of them" in refused.stderr
    rows = [f"other/{value:03d}.png,good,{value // 3}" for value in range(12, 39)]
    listed = tmp_path / "list.csv"
    listed.write_text("\n".join(["path,label,group", *rows]))
    assert call("calibrate", tiny, listed, "--append").exit_code == 0
    assert load_model(tiny).metadata.calibration.parts() == 19


def test_a_file_that_changed_meanwhile_is_not_replaced(
    call: Call, tiny: Path, gray: Gray, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real = tiny.read_bytes(), modelfile.load_model

    def load_and_change(*arguments: object) -> modelfile.ModelFile:
        file = real(*arguments)  # type: ignore[arg-type]
        tiny.write_bytes(before + b"\x28\x07")  # another model version
        return file

    monkeypatch.setattr("onlygood.deploy.opening.load_model", load_and_change)
    result = call("calibrate", tiny, good(gray, range(101, 120)))
    assert result.exit_code == 2
    assert "was changed while it was calibrated" in result.stderr
    assert tiny.read_bytes() == before + b"\x28\x07"


def test_outputs_that_are_read_are_refused(call: Call, tiny: Path, gray: Gray, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("path,label\n" + "".join(f"good/{value:03d}.png,good\n" for value in range(101, 120)))
    good(gray, range(101, 120))
    result = call("calibrate", tiny, listed, "-o", listed)
    assert result.exit_code == 2
    assert "would overwrite it" in result.stderr
    assert call("calibrate", tiny, tmp_path / "nothing").exit_code == 2


def test_another_device_is_told(
    call: Call, make_tiny: Make, metadata_with: Callable[..., Metadata], gray: Gray
) -> None:
    test = {"scores": [0.1, 0.2, 0.3, 0.4], "tolerance": 1e-5}
    model = make_tiny(metadata=metadata_with(self_test=test))
    result = call("calibrate", model, good(gray, range(101, 120)))
    assert result.exit_code == 0
    assert "those set now hold where scores are computed as here" in result.stderr
