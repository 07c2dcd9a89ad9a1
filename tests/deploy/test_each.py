"""`fit --each`: one model for each folder, whatever becomes of the others, and only what is not there yet."""

import csv
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import Result

from onlygood.deploy import each
from onlygood.deploy.each import SUMMARY, fit_each
from onlygood.deploy.options.shared import Engine
from onlygood.deploy.options.training import FitOptions
from onlygood.deploy.trainings import Here
from onlygood.runtime.errors import OnlygoodError

Call = Callable[..., Result]


@pytest.fixture
def products(tmp_path: Path) -> Path:
    """Three products of two images each, and an image beside them."""
    folder = tmp_path / "products"
    for name in ("a", "b.1", "c", ".hidden"):
        (folder / name).mkdir(parents=True)
        for number in range(2):
            Image.new("L", (8, 8), 40 * number).save(folder / name / f"{number}.png")
    Image.new("L", (8, 8)).save(folder / "loose.png")
    return folder


class Fake:
    """Trainings that copy a model, unless they are told how to fail."""

    def __init__(self, model: Path, fails: dict[str, str]) -> None:
        self.model, self.fails = model, fails
        self.seen: list[list[str]] = []

    def run(self, words: list[str], log: Path) -> int:
        self.seen.append(words)
        output = next(Path(word.partition("=")[2]) for word in words if word.startswith("--output="))
        if output.stem in self.fails:
            log.write_text(f"found 2 images\nonlygood: {self.fails[output.stem]}\nlast\n")
            return 2
        output.write_bytes(self.model.read_bytes())
        return 0

    def end(self) -> None: ...


@pytest.fixture
def fit(
    products: Path, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, list[str], list[str]]]:
    """Fit with `Fake`: the exit code, the products that were trained, and what was said."""

    def run(fails: dict[str, str] | None = None, **options: Any) -> tuple[int, list[str], list[str]]:
        fake, said = Fake(tiny, fails or {}), list[str]()
        monkeypatch.setattr(each, "Here", lambda _held: fake)
        given = FitOptions(good_dir=products, output=tmp_path / "models", each=True, **options)
        code = fit_each(given, said.append)
        return code, [Path(words[-1]).name for words in fake.seen], said

    return run


def table(tmp_path: Path) -> dict[str, dict[str, str]]:
    with (tmp_path / "models" / SUMMARY).open(newline="") as file:
        return {row["product"]: row for row in csv.DictReader(file)}


def test_each_folder_gets_a_model_and_a_row(
    fit: Any, tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, trained, said = fit()
    assert (code, sorted(trained)) == (0, ["a", "b.1", "c"])
    assert {path.name for path in (tmp_path / "models").glob("*.onnx")} == {"a.onnx", "b.1.onnx", "c.onnx"}
    row = table(tmp_path)["b.1"]
    assert (row["status"], row["images"], row["held_out"], row["error"]) == ("fitted", "2", "19", "")
    assert (float(row["threshold"]), float(row["max_false_alarms"])) == (0.85, 0.1)
    assert said[0] == "1 images beside the folders are left alone"
    assert "3 models" in said[-1]
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines() if "fitted" in line] == [
        [name, "fitted"] for name in ("a", "b.1", "c")
    ]


def test_one_that_fails_does_not_stop_the_others(fit: Any, tmp_path: Path) -> None:
    code, trained, said = fit({"a": "too few images"})
    assert (code, len(trained)) == (2, 3)
    rows = table(tmp_path)
    assert {name: row["status"] for name, row in rows.items()} == {
        "a": "failed",
        "b.1": "fitted",
        "c": "fitted",
    }
    assert rows["a"]["error"] == "too few images"
    assert any("a: failed: too few images (" in words and "a.log" in words for words in said)


def test_resume_makes_only_what_failed_or_changed(fit: Any, products: Path, tmp_path: Path) -> None:
    fit({"a": "too few images"})
    assert fit(resume=True)[1] == ["a"]
    assert fit(resume=True)[1] == []
    os.utime(products / "b.1" / "0.png", (1, 1))
    assert fit(resume=True)[1] == ["b.1"]
    (products / "c" / "1.png").unlink()
    assert fit(resume=True)[1] == ["c"]
    (tmp_path / "models" / "a.onnx").write_bytes(b"another")
    assert fit(resume=True)[1] == ["a"]
    assert sorted(fit(resume=True, steps=7)[1]) == ["a", "b.1", "c"]
    assert sorted(fit()[1]) == ["a", "b.1", "c"]
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("description: one")
    fit(recipe=str(recipe))
    recipe.write_text("description: another")
    assert sorted(fit(resume=True, recipe=str(recipe))[1]) == ["a", "b.1", "c"]


def test_what_is_typed_for_each(
    fit: Any, tmp_path: Path, products: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(Fake, "run", lambda _self, words, _log: seen.append(words) or 2)
    monkeypatch.setattr(each, "available_cpus", lambda: 6)
    fit(resume=True, work=tmp_path / "trainings", steps=3, jobs=3, overrides=["head=knn"], quiet=True)
    (words,) = [words for words in seen if words[-1].endswith("b.1")]
    assert words == [
        "fit",
        f"--output={tmp_path}/models/b.1.onnx",
        "--steps=3",
        "--resume",
        f"--work={tmp_path}/trainings/b.1",
        "--set=head=knn",
        "--set=training.threads=2",
        "--",
        str(products / "b.1"),
    ]


def test_an_interrupt_ends_the_trainings(fit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def run(_self: Fake, words: list[str], _log: Path) -> int:
        if words[-1].endswith("/a"):
            raise KeyboardInterrupt
        assert over.wait(20)
        return 130

    monkeypatch.setattr(Fake, "run", run)
    monkeypatch.setattr(Fake, "end", lambda _self: over.set())
    with pytest.raises(KeyboardInterrupt):
        fit(jobs=3)
    assert over.is_set()


def test_two_runs_do_not_write_the_same_models(fit: Any, tmp_path: Path) -> None:
    fit()
    program = (
        "import sys, time; from onlygood.deploy.each import _locked; from pathlib import Path\n"
        "with _locked(Path(sys.argv[1])): print('locked', flush=True); time.sleep(60)"
    )
    place = str(tmp_path / "models" / each._LOCK)
    with subprocess.Popen([sys.executable, "-c", program, place], stdout=subprocess.PIPE) as other:  # noqa: S603
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(OnlygoodError, match=r"models is being written by another run"):
            fit()
        other.kill()


def test_a_command_runs_as_a_child_and_none_begins_after_the_end(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    with each._locked(models / each._LOCK) as held:
        here = Here(held)
        code = here.run(["fit", "--", str(tmp_path / "none")], tmp_path / "log")
    assert code == 2
    assert "onlygood: " in (tmp_path / "log").read_text()
    here.end()
    assert here.run(["--version"], tmp_path / "log") == 130  # none begins after the end


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: (folder / "train").mkdir(parents=True), "there is a folder 'train' in it"),
        (lambda folder: (folder / "good").mkdir(parents=True), "leave --each out, or name the folder above"),
        (lambda folder: folder.mkdir(), "has no folders"),
        (lambda folder: folder.touch(), "is no folder, of whose folders --each makes models"),
    ],
)
def test_what_is_no_folder_of_products_is_refused(
    make: Callable[[Path], Any], said: str, tmp_path: Path
) -> None:
    make(tmp_path / "in")
    with pytest.raises(OnlygoodError, match=said):
        fit_each(FitOptions(good_dir=tmp_path / "in", output=tmp_path / "models", each=True), print)


def test_what_does_not_go_together(products: Path, tmp_path: Path, call: Call) -> None:
    for words, said in (
        (("--jobs", "2"), "--jobs, --engine and --ray-address say how --each works"),
        (("--engine", "ray"), "give that too"),
        (("--each", "-o", tmp_path / "model.onnx"), "must name a folder"),
    ):
        result = call("fit", products, *words)
        assert (result.exit_code, said in result.stderr) == (2, True)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / SUMMARY).write_text("a,b\n1,2\n")
    result = call("fit", products, "--each", "-o", tmp_path / "models")
    assert "summary.csv is not what `onlygood fit --each` writes" in result.stderr


def test_models_among_the_products_are_none(products: Path) -> None:
    def names(models: Path) -> list[str]:
        return [path.name for path in each._products(models, lambda _: None)]

    assert names(products) == ["a", "b.1", "c"]
    (products / "models").mkdir()
    each.mark_output(products / "models", "models")
    assert names(products) == ["a", "b.1", "c"]


def test_threads_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(each, "available_cpus", lambda: 8)
    options = FitOptions(good_dir=Path("x"), each=True)
    assert each._threads(options, 1) is None
    assert each._threads(options, 3) == 2
    assert each._threads(options, 20) == 1
    assert each._threads(replace(options, overrides=["training.threads=5"]), 20) == 5
    assert each._threads(replace(options, engine=Engine.RAY), 20) == 1
