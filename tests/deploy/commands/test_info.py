"""`info` and `verify` as they are called."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from onlygood.runtime.model.metadata import Metadata

Call = Callable[..., Result]
Gray = Callable[[str, int], Path]


def test_info_tells_what_the_model_is(call: Call, tiny: Path) -> None:
    result = call("info", tiny)
    assert result.exit_code == 0
    for expected in (
        "tiny: an onlygood detector",
        "not run: `onlygood verify` tells whether this device computes the same scores",
        "8 × 8 gray, stretch",
        "19 good images",
        "scores 0 … 0.9, median 0.45",
        "0.85, for at most 10.00% false alarms",
        "achieved rate with 95 % confidence: 1.30% … 26.03%",  # Beta(2, 18), from tables
        "ONNX opset 18, IR 10",
        hashlib.sha256(tiny.read_bytes()).hexdigest(),
        'head.kind = "mean"',
        "seed = 0",
    ):
        assert expected in result.stdout


def test_info_in_json(call: Call, tiny: Path) -> None:
    facts = json.loads(call("info", tiny, "--json", "--max-false-alarms", "0.05").stdout)
    assert facts["verdicts"]["threshold"] == 0.9
    assert facts["verdicts"]["achieved"]["mean"] == 0.05
    assert facts["metadata"]["input"]["width"] == 8
    assert (facts["bytes"], facts["opset"]) == (tiny.stat().st_size, 18)


def test_info_says_where_a_threshold_hangs_on_one_image(call: Call, tiny: Path) -> None:
    """Of 19 scores the second largest is the threshold at 10 %, the largest at 5 %."""
    assert "hangs on one image" not in call("info", tiny).stdout
    assert "hangs on one image" in call("info", tiny, "--max-false-alarms", "0.05").stdout
    facts = json.loads(call("info", tiny, "--json").stdout)
    assert facts["verdicts"]["rank"] == 2


def test_info_names_suspects_and_the_threshold_without_them(
    call: Call, make_tiny: Callable[..., Path], metadata_with: Callable[..., Metadata]
) -> None:
    suspects = [
        {"path": "day/x.png", "part": "calibration", "score": 9.0},
        {"path": "day/y.png", "part": "train", "score": 7.5},
    ]
    scores = [i / 20 for i in range(19)] + [9.0]  # at 10 % of 20 scores the second largest, 0.9
    values = {"suspects": suspects, "calibration": {"scores": scores, "max_false_alarms": 0.1}}
    told = call("info", make_tiny(metadata=metadata_with(**values))).stdout
    assert "2 images with scores far outside the others'" in told
    lines = ["day/x.png, held out, score 9", "day/y.png, learned from, score 7.5 under an untrained encoder"]
    assert told.index(lines[0]) < told.index(lines[1])
    assert "the threshold would be 0.85, at 0.1 false alarms; it is 0.9, at 0.1" in told


def test_info_of_an_impossible_rate_says_so(call: Call, tiny: Path) -> None:
    assert "smallest rate that these allow is 0.05" in call("info", tiny, "--max-false-alarms", "0.01").stdout


def test_verify_prints_its_checks(call: Call, tiny: Path, gray: Gray, tmp_path: Path) -> None:
    digest = hashlib.sha256(tiny.read_bytes()).hexdigest()
    gray("golden/x.png", 51)
    (tmp_path / "golden" / "scores.csv").write_text("path,score\nx.png,0.2\n")
    good = call("verify", tiny, "--sha256", digest, "--golden", tmp_path / "golden")
    assert good.exit_code == 0
    assert [line.split()[:2] for line in good.stdout.splitlines()] == [
        ["ok", name]
        for name in ("file", "sha256", "structure", "metadata", "seal", "runtime", "self-test", "golden")
    ]
    gray("golden/e\u0301.png", 51)  # as macOS composes it
    (tmp_path / "golden" / "scores.csv").write_text("path,score\n\u00e9.png,0.2\n", encoding="utf-8")
    assert call("verify", tiny, "--golden", tmp_path / "golden").exit_code == 0
    tiny.write_bytes(tiny.read_bytes().replace(b'"tiny"', b'"tony"'))
    bad = call("verify", tiny)
    assert bad.exit_code == 2
    assert bad.stdout.splitlines()[-1].startswith("FAILED  seal")
