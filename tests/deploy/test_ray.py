"""Scoring by workers of Ray: the rows of one process, whatever dies on the way. One cluster for all tests."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import Result

from onlygood.deploy.cluster import _reachable, connected
from onlygood.deploy.ray import (
    Columns,
    Scorer,
    Work,
    Worker,
    _batches,
    _Crew,
    score_dataset,
    score_on_ray,
)
from onlygood.deploy.trainings import OnRay
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import mark_output
from onlygood.runtime.images.remote import Remote
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.rows.stream import Look
from onlygood.runtime.rows.verdicts import Status

Call = Callable[..., Result]
Gray = Callable[[str, int], Path]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """One cluster for all; where Ray is installed and does not start, the tests fail."""
    if find_spec("ray") is None:  # not imported: `connected` says what it finds when it is
        pytest.skip("the extra ray is not installed")
    before = dict(os.environ)
    for name in ("PYTHONDONTWRITEBYTECODE", "RAY_ADDRESS"):  # with the first, workers take a minute to begin
        os.environ.pop(name, None)
    with ExitStack() as stack:
        stack.callback(os.environ.update, before)
        stack.callback(os.environ.clear)
        yield stack.enter_context(connected(None, 2))


@pytest.fixture
def work(tiny: Path) -> Work:
    detector = Detector.load(tiny)
    return Work(detector.file, detector.threshold(), detector.metadata.input, 10**8, None)


def rows(text: str | bytes) -> list[dict[str, Any]]:
    return [json.loads(line) | {"ms": None} for line in text.splitlines()]


def test_nothing_is_sent_home(ray: Any) -> None:
    """Neither by this process nor by those that Ray has started, which know this run's secret."""
    names = ("RAY_USAGE_STATS_ENABLED", "RAY_AUTH_MODE")
    there = ray.remote(lambda: [os.environ.get(name) for name in names]).options(num_cpus=0)
    assert [os.environ.get(name) for name in names] == ray.get(there.remote()) == ["0", "token"]
    assert "auth_token" not in [path.name for path in (Path.home() / ".ray").rglob("*")]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # not Ray's, which ends the process at once


@pytest.mark.usefixtures("ray")
def test_the_rows_are_those_of_one_process(
    call: Call, tiny: Path, parts: Path, gray: Gray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the images, by several workers, with paths that are relative to here."""
    for number in range(100):
        gray(f"parts/sub/{number:03}.png", number)
    monkeypatch.chdir(parts)
    for command, workers, count in (("score", 2, 104), ("check", 1, 2)):
        arguments = (command, tiny, "a.png", "b.png", "c.png", "sub", "-f", "jsonl", "--boxes")
        here = call(*arguments)
        there = call(*arguments, "--engine", "ray", "-j", str(workers))
        assert rows(there.stdout) == rows(here.stdout)
        assert len(rows(here.stdout)) == count
        assert there.exit_code == here.exit_code == 2
        assert "c.png: text, no picture" in there.stderr


@pytest.mark.usefixtures("ray")
def test_a_parquet_table_is_that_of_one_process(call: Call, tiny: Path, parts: Path, tmp_path: Path) -> None:
    """Its columns and their types too, of images that cannot be read as well."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra ray is not installed")
    tables = []
    for number, words in enumerate(((), ("--engine", "ray", "-j", "2"))):
        out = tmp_path / f"{number}.parquet"
        assert call("score", tiny, parts, "--boxes", "-o", out, *words).exit_code == 2
        tables.append(parquet.read_table(out))
    here, there = tables
    assert there.schema.equals(here.schema, check_metadata=True)
    assert there.drop_columns("ms").equals(here.drop_columns("ms"))
    assert set(there["status"].to_pylist()) >= {"error", "normal"}


def test_an_image_that_kills_its_worker_is_a_row(ray: Any, work: Work, gray: Gray) -> None:
    paths = [gray(f"in/{number:03}.png", 51) for number in range(40)]

    def deadly(look: Look) -> dict[str, Any]:
        if str(look.path).endswith("007.png"):
            os._exit(1)
        return {}

    work = replace(work, also=(deadly,))
    found = list(score_on_ray(ray, work, paths, workers=1, say=print))
    assert [row.path for row in found] == paths
    assert [row.path.stem for row in found if row.status is not Status.NORMAL] == ["007"]
    assert "the worker that read it died" in found[7].error
    assert found[7].stamp.size == paths[7].stat().st_size


def test_the_error_of_a_worker_names_it(ray: Any, work: Work, gray: Gray) -> None:
    def full(_: Look) -> dict[str, Any]:
        raise OnlygoodError("disk full")

    image = gray("x.png", 51)
    with pytest.raises(OnlygoodError, match=r"worker \d+ on .+: disk full"):
        list(score_on_ray(ray, replace(work, also=(full,)), [image], workers=1, say=print))
    with pytest.raises(OnlygoodError, match=r"worker \d+ on .+: no execution provider 'none'"):
        Worker().begin(lambda: replace(work, provider="none"))


def test_it_says_what_it_waits_for(ray: Any, work: Work, gray: Gray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onlygood.deploy.ray._PATIENCE", 0.1)

    def say(words: str) -> None:
        raise InterruptedError(words)

    with pytest.raises(InterruptedError, match=r"each wants 64 CPUs, and Ray has \d to give"):
        list(score_on_ray(ray, replace(work, threads=64), [gray("x.png", 51)], workers=1, say=say))


def test_a_driver_that_was_killed_is_resumed(
    ray: Any, call: Call, tiny: Path, gray: Gray, tmp_path: Path
) -> None:
    for number in range(2000):
        gray(f"in/{number:04}.png", number % 256)
    here, out = tmp_path / "here.jsonl", tmp_path / "rows.jsonl"
    call("score", tiny, tmp_path / "in", "-o", here)
    arguments = ["score", tiny, tmp_path / "in", "-o", out, "--resume", "--engine", "ray", "-j", "1"]
    command = [sys.executable, "-m", "onlygood", *map(str, arguments)]
    address = ["--ray-address", ray.get_runtime_context().gcs_address]
    with subprocess.Popen([*command, *address], stderr=subprocess.DEVNULL) as run:  # noqa: S603
        while run.poll() is None and (not out.exists() or not out.stat().st_size):
            time.sleep(0.01)
        run.kill()
    assert 0 < len(out.read_bytes().splitlines()) < 2000
    resumed = call(*arguments)
    assert "of these images were scored by an earlier run" in resumed.stderr
    assert rows(out.read_bytes()) == rows(here.read_bytes())


def test_a_data_set_of_ray_gets_the_columns(ray: Any, call: Call, tiny: Path, parts: Path) -> None:
    expected = [
        row | {"lot": lot} for lot, row in enumerate(rows(call("score", tiny, parts, "-f", "jsonl").stdout))
    ]
    there = [{"path": row["path"], "lot": row["lot"], "bytes": None} for row in expected]
    whole = [row | {"bytes": Path(row["path"]).read_bytes(), "lot": 10 + row["lot"]} for row in there]
    expected += [row | {"lot": 10 + row["lot"], "mtime_ns": None} for row in expected]
    data = ray.data.from_items(there + whole, override_num_blocks=1)
    found = score_dataset(data, tiny, workers=1, boxes=True).take_all()
    for row in found:
        assert row.keys().isdisjoint({"bytes"})
        assert ("regions" in json.loads(row.pop("extras") or "{}")) == (row["score"] is not None)
    assert sorted((row | {"ms": None} for row in found), key=itemgetter("lot")) == expected


def test_a_data_set_without_images_is_refused(work: Work) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="the extra ray is not installed")
    for column, said in (
        ("id", "no column 'bytes' or 'path' says what the images are; there are id: read them with"),
        ("score", "the columns score are those of verdicts: rename them"),
    ):
        images = pyarrow.table({column: [1]} | ({"path": ["x"]} if column == "score" else {}))
        with pytest.raises(OnlygoodError, match=said):
            Columns(work)(images)


def test_heatmaps_are_not_lost_on_a_machine_without_their_folder(work: Work, tmp_path: Path) -> None:
    heat = tmp_path / "heat"
    with pytest.raises(OnlygoodError, match=r"heat is not here, .*: name one that all machines share"):
        Scorer(replace(work, writes=heat))
    mark_output(heat, "heatmaps")
    Scorer(replace(work, writes=heat))


def test_a_command_on_ray_has_its_exit_code_and_its_words(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trainings = OnRay(ray, 1)
    assert trainings.run(["fit", "--", "nothing"], Path("log")) == 2
    assert "onlygood: nothing" in (tmp_path / "log").read_text()
    with pytest.raises(OnlygoodError, match=r"a worker of Ray: .*No such file"):
        trainings.run(["fit", "--", "nothing"], tmp_path / "none" / "log")
    trainings.end()
    assert trainings.run(["recipes"], tmp_path / "log") == 130


def test_batches_are_bounded_by_number_and_by_bytes() -> None:
    paths = [Path(str(number)) for number in range(70)]
    assert [len(batch) for batch in _batches(iter(paths))] == [32, 32, 6]
    large = [Remote(f"x{number}", content=bytes(9 * 10**6)) for number in range(5)]
    assert [len(batch) for batch in _batches(large)] == [2, 2, 1]
    assert [place for batch in _batches(paths) for place in batch] == paths


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "there is no Ray at 127.0.0.1:1: .*refused; start one with `ray start --head`"),
        ("ray://head:10001", "work on a machine of the cluster, and give HOST:6379 or auto"),
    ],
)
def test_an_address_without_a_cluster_is_refused_at_once(address: str, said: str) -> None:
    with pytest.raises(OnlygoodError, match=said):
        _reachable(address)


def test_a_ray_that_does_not_start_is_no_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_: Any, **__: Any) -> None:
        assert "PYTHONDONTWRITEBYTECODE" not in os.environ  # each worker would compile all that it imports
        signal.signal(signal.SIGTERM, lambda *_: None)
        raise Exception("The current node timed out.")

    ended: list[bool] = []
    monkeypatch.setattr(os, "environ", os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    ray = SimpleNamespace(is_initialized=lambda: False, init=init, shutdown=lambda: ended.append(True))
    monkeypatch.setitem(sys.modules, "ray", ray)
    for address, said in (("local", "on this machine in 3 tries: The"), ("auto", "no Ray at auto: The")):
        with pytest.raises(OnlygoodError, match=f"{said} current node timed out"), connected(address):
            pass
    assert ended == 4 * [True]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_options_that_do_not_go_together_and_what_is_missing(
    call: Call, tiny: Path, gray: Gray, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = gray("x.png", 51)
    for words, said in (
        (("--engine", "ray", "--tile", "8"), "--tile and --engine ray do not go together"),
        (("--ray-address", "auto"), "--ray-address says where --engine ray works"),
    ):
        result = call("score", tiny, image, *words)
        assert (result.exit_code, said in result.stderr) == (2, True)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    result = call("score", tiny, image, "--engine", "ray")
    assert result.exit_code == 2
    assert "--engine ray needs the package 'ray': pip install 'onlygood[ray]'" in result.stderr


def test_a_worker_that_cannot_begin_ends_the_run() -> None:
    """As with another onlygood, whose rows would not be those of this one."""

    class FailedError(Exception):
        cause = OnlygoodError("worker 7 on line2: no model")

    older, failed = Future[str](), Future[str]()
    older.set_result("0.0.1")
    failed.set_exception(FailedError())
    for version, said in (
        (older, r"a worker has onlygood 0\.0\.1, and this is"),
        (failed, "7 on line2: no m"),
    ):
        crew = _Crew.__new__(_Crew)
        crew._idle, crew._lost = SimpleQueue(), ()
        crew._ray = SimpleNamespace(exceptions=SimpleNamespace(RayTaskError=FailedError))
        crew._begin(object(), version)
        for _ in range(2):  # whoever asks next
            with pytest.raises(OnlygoodError, match=said):
                crew.rows([Path("a.png")])
