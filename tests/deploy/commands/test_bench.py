"""`bench` as it is called, and `score`, `check` and `watch` with what it wrote."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import Result

from onlygood.deploy.commands import bench
from onlygood.deploy.machine import Machine
from onlygood.deploy.scenes import HEIGHT, WIDTH, scene
from onlygood.deploy.trials import Found, Task, try_out
from onlygood.deploy.tuned import Tuned
from onlygood.runtime.errors import OnlygoodError

Call = Callable[..., Result]
Gray = Callable[[str, int], Path]
QUICK = ("--seconds", "0.003")


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """Trials in this process, and none where the test says what they find; the list is what was tried."""
    done: list[Task] = []

    def here(task: Task, model: Path, images: list[Path]) -> Found:
        done.append(task)
        try:
            return try_out(task, model, images)
        except OnlygoodError as error:
            return Found(failed=str(error))

    monkeypatch.setattr(bench, "attempt", here)
    monkeypatch.setattr(bench, "write_scenes", lambda folder: [made(folder)])
    return done


def made(folder: Path) -> Path:
    Image.new("L", (16, 12), 40).save(folder / "scene.jpg")
    return folder / "scene.jpg"


def tuned_by_hand(call: Call, model: Path, path: Path, **changes: Any) -> Path:
    """A file that `bench` wrote, with other values at the top."""
    assert call("bench", model, "-o", path, "-j", 1, "--threads", 1, *QUICK, "-q").exit_code == 0
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return path


def test_every_way_is_tried_in_every_round(
    call: Call, tiny: Path, tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Machine.here()
    monkeypatch.setattr(Machine, "here", classmethod(lambda _: here.model_copy(update={"cpus": 2})))
    monkeypatch.setattr(bench, "available_providers", lambda: ["azure", "cpu"])
    result = call("bench", tiny, *QUICK, "--json")
    assert result.exit_code == 0, result.stderr
    ways = [(1, 1), (2, 1), (1, 2)]
    tried = [(task.workers, task.threads) for task in tasks if not (task.stages or task.batches)]
    assert tried == 3 * ways
    assert {task.provider for task in tasks} == {"cpu"}
    assert [task.stages for task in tasks if task.stages] == [True]
    found = Tuned.parse_json(result.stdout, "stdout")
    assert [(way.use.workers, way.use.threads) for way in found.ways] == ways
    assert all(way.images_per_second >= way.lowest > 0 for way in found.ways)
    assert found.stages is not None
    assert [batch.size for batch in found.batches] == [1, 2, 4, 8]
    assert found.pictures.generated
    assert found.pictures.kinds == {"JPEG 16 x 12": 1}
    assert found.advice[0].startswith("for many images: -j ")


def test_what_is_read_by_people_says_what_was_measured(call: Call, tiny: Path, tasks: list[Task]) -> None:
    result = call("bench", tiny, *QUICK, "-j", 2, "--threads", 1)
    assert result.exit_code == 0
    for words in (
        "tiny, 8 x 8 px, on ",
        "1 JPEG 16 x 12 (made for this",
        "decode",
        "2 x 1 cpu",
        "*",
        "for many",
    ):
        assert words in result.stdout
    assert "round 1 of 3: -j 2 --threads 1 --provider cpu" in result.stderr
    assert call("bench", tiny, *QUICK, "-j", 2, "--threads", 1, "-q").stderr == ""


def test_images_of_your_own_and_those_that_cannot_be_read(
    call: Call, tiny: Path, parts: Path, tasks: list[Task]
) -> None:
    result = call("bench", tiny, parts, *QUICK, "-j", 1, "--threads", 1, "--json")
    assert result.exit_code == 0, result.stderr
    pictures = json.loads(result.stdout)["pictures"]
    assert pictures == {"count": 3, "generated": False, "kinds": {"PNG 8 x 8": 3}, "unreadable": 1}
    assert "c.png" in result.stderr
    assert "left out" in result.stderr


def test_many_images_are_taken_evenly(call: Call, tiny: Path, gray: Gray, tasks: list[Task]) -> None:
    folder = [gray(f"many/{number:03d}.png", 1) for number in range(65)].pop().parent
    result = call("bench", tiny, folder, *QUICK, "-j", 1, "--threads", 1, "--json")
    assert json.loads(result.stdout)["pictures"]["count"] == 32


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--provider", "cuda9"], "no execution provider 'cuda9' here; available: "),
        (["--seconds", "0"], "is not a number above 0"),
        (["--sha256", "0" * 64], "this is another file"),
        (["empty"], "no images found"),
        (["bad.png"], "none of 1 images can be read"),
        (["-o", "."], "is a folder"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    *,
    call: Call,
    tiny: Path,
    tasks: list[Task],
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tiny.parent)
    Path("empty").mkdir()
    Path("bad.png").write_bytes(b"no image")
    result = call("bench", tiny, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert tasks == []


def test_the_model_is_no_output(call: Call, tiny: Path, tasks: list[Task]) -> None:
    before = tiny.read_bytes()
    assert call("bench", tiny, "-o", tiny).exit_code == 2
    assert tiny.read_bytes() == before


def test_nothing_that_works_is_an_error(
    call: Call, tiny: Path, tasks: list[Task], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench, "attempt", lambda *_: Found(failed="illegal instruction"))
    result = call("bench", tiny, "-o", tmp_path / "tuned.json")
    assert result.exit_code == 2
    assert "nothing could be measured: illegal instruction" in result.stderr
    assert not (tmp_path / "tuned.json").exists()


def test_pictures_that_are_made_are_the_same_each_time_and_not_flat() -> None:
    assert scene(1).shape == (HEIGHT, WIDTH, 3)
    assert (scene(1) == scene(1)).all()
    assert scene(1).std() > 20
    assert not (scene(1) == scene(2)).all()


# --- with --tuned


def test_score_runs_as_was_found_best(
    call: Call, tiny: Path, gray: Gray, tasks: list[Task], tmp_path: Path
) -> None:
    use = {"workers": 3, "threads": 2, "provider": "cpu"}
    tuned, image = tuned_by_hand(call, tiny, tmp_path / "tuned.json", use=use), gray("a.png", 51)
    for command in ("score", "check"):
        said = call(command, tiny, image, "--tuned", tuned, "-v").stderr
        assert "cpu, 3 images at once with 2 threads each" in said
        assert "another machine" not in said
    typed = call("score", tiny, image, "--tuned", tuned, "-v", "-j", 1, "--threads", 4).stderr
    assert "cpu, 1 images at once with 4 threads each" in typed
    plain = call("score", tiny, image, "-v", "-j", 1).stderr
    assert "cpu, 1 images at once with 1 threads each" in plain


def test_a_calibrated_model_is_the_same_model_and_another_graph_is_not(
    *, call: Call, tiny: Path, gray: Gray, tasks: list[Task], tmp_path: Path, make_tiny: Callable[..., Path]
) -> None:
    tuned = tuned_by_hand(call, tiny, tmp_path / "tuned.json")
    good = [gray(f"good/{value}.png", value) for value in range(101, 120)].pop().parent
    assert call("calibrate", tiny, good, "-o", tmp_path / "new.onnx").exit_code == 0
    image = gray("a.png", 51)
    assert call("score", tmp_path / "new.onnx", image, "--tuned", tuned).exit_code == 0
    other = make_tiny(score="ratio")
    for arguments in (["score", other, image], ["check", other, image], ["watch", other, good, "--once"]):
        result = call(*arguments, "--tuned", tuned)
        assert result.exit_code == 2
        assert "tuned.json was made with another model ('tiny')" in result.stderr
        assert result.stdout == ""


def test_another_machine_is_said_and_used(
    call: Call, tiny: Path, gray: Gray, tasks: list[Task], tmp_path: Path
) -> None:
    machine = Machine.here().model_dump() | {"processor": "Cortex\x1b[2J", "cpus": 4}
    tuned = tuned_by_hand(call, tiny, tmp_path / "tuned.json", machine=machine)
    image = gray("in/a.png", 51)
    for arguments in (["score", tiny, image], ["watch", tiny, image.parent, "--once", "--settle", 0]):
        result = call(*arguments, "--tuned", tuned)
        assert result.exit_code == 0, result.stderr
        assert "measured on another machine (processor Cortex\\x1b[2J, here " in result.stderr
        assert "cpus 4, here " in result.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file"),
        ("", "is not JSON"),
        ("[" * 10**5, "is not JSON"),
        ("[]", "of no version that this onlygood knows"),
        ('{"schema_version": 2}', "of no version that this onlygood knows"),
        ('{"schema_version": 1}', "Field required"),
        ("x" * (2**20 + 1), "is no file that `onlygood bench` wrote"),
    ],
)
def test_what_is_no_tuned_file_is_refused(
    *, call: Call, tiny: Path, gray: Gray, tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "tuned.json"
    if content is not None:
        path.write_text(content)
    result = call("score", tiny, gray("a.png", 51), "--tuned", path)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


@pytest.mark.parametrize("use", [{"workers": 0}, {"workers": 10**6}, {"workers": 1, "threads": -1}])
def test_numbers_in_the_file_have_limits(
    *, call: Call, tiny: Path, gray: Gray, tasks: list[Task], tmp_path: Path, use: dict[str, int]
) -> None:
    tuned = tuned_by_hand(call, tiny, tmp_path / "tuned.json", use=use)
    assert call("score", tiny, gray("a.png", 51), "--tuned", tuned).exit_code == 2
