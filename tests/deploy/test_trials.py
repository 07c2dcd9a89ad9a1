"""A way to run a model, tried: what is measured is what `score` does, and what fails says why."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from onlygood.deploy import trials
from onlygood.deploy.machine import Machine, processor
from onlygood.deploy.trials import STAGES, Task, attempt, peak_mb, try_out
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.model.metadata import Metadata

Gray = Callable[[str, int], Path]
PLAIN = Task(workers=1, threads=1, provider="cpu", seconds=0.0, max_pixels=10**6, max_memory=None)


def task(**changes: object) -> Task:
    return Task(**(PLAIN.__dict__ | changes))  # type: ignore[arg-type]


def test_a_process_of_its_own_measures_and_answers(tiny: Path, gray: Gray) -> None:
    """Names that are no UTF-8 are arguments like others."""
    images = [gray("a.png", 1), gray("b\udce9.png", 2)]
    found = attempt(task(workers=2), tiny, images)
    assert found.failed == ""
    assert found.images >= 4
    assert len(found.milliseconds["total"]) == found.images
    assert found.seconds > 0
    assert found.start_ms > 0
    assert found.peak_mb is None or 10 < found.peak_mb < 500


def test_a_process_that_dies_is_an_answer(
    tiny: Path, gray: Gray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image = gray("a.png", 1)
    interpreter = tmp_path / "python"
    for script, said in (
        ("kill -9 $$", "ended by signal 9; out of memory?"),
        ("echo no CUDA here >&2; exit 3", "exit code 3: no CUDA here"),
        ("echo '{\"speed\": 9}'", "exit code 0: "),
    ):
        interpreter.write_text(f"#!/bin/sh\n{script}\n")
        interpreter.chmod(0o755)
        monkeypatch.setattr(trials.sys, "executable", str(interpreter))
        assert said in attempt(PLAIN, tiny, [image]).failed


def test_the_folder_at_hand_lends_no_modules(
    tiny: Path, gray: Gray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    assert attempt(PLAIN, tiny, [gray("a.png", 1)]).failed == ""


def test_only_the_file_that_was_checked_is_measured(tiny: Path, gray: Gray) -> None:
    with pytest.raises(OnlygoodError, match="SHA-256"):
        try_out(task(sha256="0" * 64), tiny, [gray("a.png", 1)])


def test_each_stage_is_timed_for_each_image(tiny: Path, gray: Gray) -> None:
    found = try_out(task(stages=True), tiny, [gray("a.png", 1)])
    assert found.images == 20
    assert {name: len(times) for name, times in found.milliseconds.items()} == dict.fromkeys(STAGES, 20)
    assert all(ms >= 0 for times in found.milliseconds.values() for ms in times)


def test_batches_are_timed_by_the_image(tiny: Path, gray: Gray, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that goes a second each time, a batch of four takes 250 ms an image."""
    ticks = itertools.count()
    monkeypatch.setattr(trials, "perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(trials._Clock.__init__, "__defaults__", (lambda: float(next(ticks)),))
    found = try_out(task(batches=(1, 4)), tiny, [gray("a.png", 1)])
    assert found.batches == {"1": 1000, "4": 250}


def test_a_provider_with_other_scores_is_of_no_use(
    make_tiny: Callable[..., Path], metadata_with: Callable[..., Metadata], gray: Gray
) -> None:
    other = metadata_with(self_test={"scores": [0.123], "tolerance": 1e-5})
    with pytest.raises(OnlygoodError, match="scores deviate"):
        try_out(PLAIN, make_tiny(metadata=other), [gray("a.png", 1)])


def test_an_image_that_cannot_be_read_is_named(tiny: Path, gray: Gray, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"no image")
    for images in ([tmp_path / "no.png"], [gray("a.png", 1), tmp_path / "no.png"]):
        with pytest.raises(OnlygoodError, match=r"no\.png: "):
            try_out(PLAIN, tiny, images)


def test_the_peak_is_what_the_kernel_says(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("VmPeak:\t 9999 kB\nVmHWM:\t   2000 kB\nVmRSS:\t 5 kB\n")
    assert peak_mb(status) == 2.048
    assert peak_mb(tmp_path / "none") is None
    status.write_text("Name: kernel thread\n")
    assert peak_mb(status) is None


def test_a_board_is_named_before_its_processor(tmp_path: Path) -> None:
    cpuinfo, board = tmp_path / "cpuinfo", tmp_path / "model"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: AMD  EPYC 9R14\nflags: x\n")
    assert processor(cpuinfo, board) == "AMD EPYC 9R14"
    board.write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    assert processor(cpuinfo, board) == "Raspberry Pi 5 Model B Rev 1.0"


def test_another_machine_is_told_by_what_speed_depends_on() -> None:
    here = Machine.here()
    assert here.differences(here) == ""
    assert here.differences(here.model_copy(update={"memory_mb": 1, "python": "4"})) == ""
    board = here.model_copy(update={"processor": "Pi", "cpus": 4})
    assert board.differences(here) == f"processor Pi, here {here.processor}, cpus 4, here {here.cpus}"
