import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Gray = Callable[[str, int], Path]
Call = Callable[..., Result]
EVERYTHING = {"a.png": "normal", "b.png": "anomalous", "c.png": "error", "d.png": "normal"}
KEY = "0123456789abcdef"


def rows(text: str) -> dict[str, str]:
    found = [json.loads(line) for line in text.splitlines()]
    assert len({row["id"] for row in found}) == len(found)
    return {Path(row["path"]).name: row["status"] for row in found}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`onlygood watch` as a process."""
    children = []

    def begin(*arguments: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "onlygood", "watch", *map(str, arguments)]
        child = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)  # noqa: S603
        children.append(child)
        return child

    yield begin
    for child in children:
        child.kill()
        child.communicate()


def come(path: Path, lines: int) -> str:
    """The text of a file, once it has so many lines."""
    for _ in range(3000):
        if path.exists() and (text := path.read_text()).count("\n") >= lines:
            return text
        time.sleep(0.01)
    raise AssertionError(f"{path} did not get {lines} lines")


def test_once_prints_a_row_for_each_file_and_the_next_run_none(tiny: Path, parts: Path, call: Call) -> None:
    arguments = ["watch", tiny, parts, "--once", "--settle", 0, "--state", parts.parent / "s"]
    first, second = call(*arguments), call(*arguments)
    assert rows(first.stdout) == EVERYTHING
    assert first.stderr.splitlines()[-1] == "4 images judged, 1 anomalous, 1 error"
    assert (first.exit_code, second.exit_code, second.stdout) == (2, 0, "")


def test_verdicts_are_those_of_score(tiny: Path, parts: Path, call: Call) -> None:
    arguments = [tiny, parts, "--max-false-alarms", "0.3", "-q"]
    watched = call("watch", *arguments, "--once", "--settle", 0).stdout
    scored = call("score", *arguments, "-f", "jsonl").stdout
    common = ("path", "status", "score", "threshold", "p_value", "size", "mtime_ns", "model", "error")
    assert sorted(tuple(json.loads(line)[key] for key in common) for line in watched.splitlines()) == sorted(
        tuple(json.loads(line)[key] for key in common) for line in scored.splitlines()
    )


def test_exit_codes_of_once(tiny: Path, gray: Gray, tmp_path: Path, call: Call) -> None:
    gray("in/a.png", 51)
    assert call("watch", tiny, tmp_path / "in", "--once", "--settle", 0).exit_code == 0
    gray("in/b.png", 240)  # anomalous: no fault of the watch
    assert call("watch", tiny, tmp_path / "in", "--once", "--settle", 0).exit_code == 0
    (tmp_path / "empty").mkdir()
    assert call("watch", tiny, tmp_path / "empty", "--once").exit_code == 0


def test_what_could_not_be_told_makes_the_exit_code_2_and_waits(
    tiny: Path, gray: Gray, tmp_path: Path, call: Call
) -> None:
    gray("in/a.png", 51)
    (tmp_path / "secret").write_text(KEY)
    state = ["--state", tmp_path / "s", "--once", "--settle", 0]
    webhook = ["--webhook", "http://127.0.0.1:1/", "--webhook-secret", tmp_path / "secret"]
    result = call("watch", tiny, tmp_path / "in", *state, *webhook)
    assert result.exit_code == 2
    assert "127.0.0.1:1 cannot be reached" in result.stderr
    assert result.stderr.splitlines()[-1] == "1 image judged, for webhook wait 1"
    later = call("watch", tiny, tmp_path / "in", *state)
    assert "for --webhook, which was not given, wait verdicts of an earlier run: 1" in later.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{in}/a.png"], "no folder"),
        (["{in}", "--webhook", "http://h/", "--webhook-secret", "{secret}"], "--state"),
        (["{in}", "--mqtt", "mqtt://h/t"], "--state"),
        (["{in}", "--webhook", "http://h/", "--state", "{tmp}/s"], "--webhook-secret"),
        (["{in}", "--webhook", "none", "--webhook-secret", "{secret}", "--state", "{tmp}/s"], "wants a URL"),
        (["{in}", "--webhook", "http://h/", "--webhook-secret", "{tmp}/x", "--state", "{tmp}/s"], "cannot"),
        (["{in}", "--mqtt-password", "{secret}"], "--mqtt"),
        (["{in}", "--exec", "no-such-command-anywhere"], "no command"),
        (["{in}", "--state", "{model}"], "is read"),
        (["{in}", "--state", "{secret}"], "no state of"),
        (["{in}", "-o", "{secret}"], "something else"),
        (["{in}", "-o", "{tmp}/no/such/folder"], "no folder"),
        (["{in}", "--metrics-file", "{in}"], "is a folder"),
        (["{in}", "--move-flagged", "{in}"], "other than"),
        (["{in}", "--move-flagged", "{tmp}"], "other than"),
        (["{in}", "--move-flagged", "{photos}"], "photos"),
        (["{in}", "--threshold", "1", "--max-false-alarms", "0.1"], "either"),
        (["{in}", "--max-false-alarms", "0.001"], "needs at least"),
        (["{in}", "--settle", "-1"], "settle"),
        (["{in}", "--poll", "0"], "poll"),
    ],
)
def test_usage_errors_are_two_and_change_nothing(
    tiny: Path, gray: Gray, call: Call, arguments: list[str], words: str
) -> None:
    tmp_path = tiny.parent
    image = gray("in/a.png", 240)
    gray("photos/mine.png", 0)
    (tmp_path / "secret").write_text(KEY)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    names = {"in": image.parent, "tmp": tmp_path, "model": tiny, "secret": tmp_path / "secret"}
    filled = [a.format(**names, photos=tmp_path / "photos") for a in arguments]
    result = call("watch", tiny, *filled, "--once", "--settle" if "--settle" not in filled else "-q", "0")
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_a_watch_hears_of_files_and_stops_gracefully(
    tiny: Path, gray: Gray, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    gray("in/a.png", 51)
    out, prom = tmp_path / "rows.jsonl", tmp_path / "w.prom"
    options = ["--settle", 0.05, "--poll", 600, "-o", out, "--state", tmp_path / "s", "--metrics-file", prom]
    child = start(tiny, tmp_path / "in", *options)
    come(out, 1)
    gray("in/new/b.png", 240)  # only an event can tell, also of the folder
    part = gray("hidden/.c.part", 51)
    part.rename(tmp_path / "in" / "c.png")
    text = come(out, 3)
    child.send_signal(signal.SIGTERM)
    words = child.communicate(timeout=30)[1]
    assert rows(text) == {"a.png": "normal", "b.png": "anomalous", "c.png": "normal"}
    first, *_, last = words.splitlines()
    assert first.startswith(f"watching {tmp_path / 'in'}; verdicts go to ")
    assert first.endswith(f"{out.name}; Ctrl-C ends it")
    assert (child.returncode, last) == (143, "3 images judged, 1 anomalous")
    assert 'onlygood_watch_verdicts_total{status="normal"} 2' in prom.read_text()


def test_kills_lose_and_repeat_no_row(
    tiny: Path, gray: Gray, tmp_path: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    out, log, count = tmp_path / "rows.jsonl", tmp_path / "log", 60
    for number in range(count):
        gray(f"in/{number}.png", 240 if number % 3 == 0 else 51)
    options = ["--settle", 0, "-o", out, "--state", tmp_path / "s", "--move-flagged", tmp_path / "bad"]
    options += ["--exec", f"sh -c 'echo $0 >> {log}' {{id}}"]
    for rows_at_kill in (1, 33):
        child = start(tiny, tmp_path / "in", *options)
        come(out, rows_at_kill)
        child.send_signal(signal.SIGKILL)
        child.wait()
    child = start(tiny, tmp_path / "in", *options, "--once")
    child.communicate(timeout=100)
    assert child.returncode == 0
    assert len(rows(out.read_text())) == count
    told = log.read_text().split()
    assert len(set(told)) == count
    assert len(told) <= count + 2 * 32  # at least once: what was on its way at a kill, again
    assert len(list((tmp_path / "bad").glob("*.png"))) == count // 3
    assert len(list((tmp_path / "in").iterdir())) == count - count // 3


def test_nothing_heavy_is_imported_and_nothing_goes_home(tiny: Path, gray: Gray, tmp_path: Path) -> None:
    gray("in/a.png", 51)
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys; from onlygood.deploy.cli import invoke\n"
        f"invoke(['watch', {str(tiny)!r}, {str(tmp_path / 'in')!r}, '--once', '--settle', '0'])\n"
        "heavy = {'torch', 'sklearn', 'matplotlib', 'paho', 'scipy', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"HOME": str(home)})  # noqa: S603
    assert list(home.iterdir()) == []


def test_drift_withdraws_the_promise(
    make_tiny: Callable[..., Path], metadata_with: Any, gray: Gray, tmp_path: Path, call: Call
) -> None:
    """Even images have no contrast to speak of; their brightness is 40 to 60, and then 100."""
    looks = {name: [0.0] * 21 for name in ("contrast", "sharpness")}
    looks |= {name: [0.5] * 21 for name in ("across", "down")} | {
        "brightness": [float(n) for n in range(40, 61)]
    }
    model = make_tiny(metadata=metadata_with(appearance=looks))
    for number in range(20):
        gray(f"in/{number:02}.png", 40 + 7 * number % 20)
    fine = ["--once", "--settle", 0, "--drift", "--state", tmp_path / "s", "--metrics-file", tmp_path / "m"]
    first = call("watch", model, tmp_path / "in", *fine)
    assert {tuple(json.loads(line)["drift"]) for line in first.stdout.splitlines()} == {()}
    assert "onlygood_promise_holds 1\n" in (tmp_path / "m").read_text()
    for number in range(20, 50):
        gray(f"in/{number:02}.png", 100)
    second = call("watch", model, tmp_path / "in", *fine)
    assert json.loads(second.stdout.splitlines()[-1])["drift"] == ["brightness"]
    assert "brightness 100, of calibration images 40" in second.stderr
    assert "no longer promised" in second.stderr
    text = (tmp_path / "m").read_text()
    assert "onlygood_promise_holds 0\n" in text
    assert 'onlygood_drift{statistic="brightness"} 1.0\n' in text
    scored = call("score", model, tmp_path / "in", "--drift", "-f", "jsonl")
    assert json.loads(scored.stdout.splitlines()[-1])["drift"] == ["brightness"]
    assert "no longer promised" in scored.stderr
