"""The process as a shell sees it: streams that are closed or full, signals, faults, and the exit codes."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from onlygood.deploy.entry import BROKEN_PIPE

Gray = Callable[[str, int], Path]


@pytest.fixture
def place(tiny: Path, gray: Gray, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the model tiny.onnx, a good and a bad image, and labelled ones."""
    for name, value in (("good", 51), ("bad", 255), ("set/good/a", 51), ("set/bad/b", 250)):
        gray(f"{name}.png", value)
    monkeypatch.chdir(tiny.parent)
    return tiny.parent


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh in which ``onlygood`` is this one."""
    script = 'onlygood() { "$PYTHON" -m onlygood "$@"; }\n' + line
    environment = os.environ | {"PYTHON": sys.executable} | variables
    return subprocess.run(  # noqa: S603
        ["/bin/sh", "-c", script], env=environment, capture_output=True, text=True, check=False
    )


WRITING = [  # on stdout, by good images: exit code 0
    "score tiny.onnx good.png",
    "check tiny.onnx good.png",
    "info tiny.onnx",
    "verify tiny.onnx",
    "tasks",
    "recipes",
    "evaluate tiny.onnx set",
    "--help",
    "--version",
]


@pytest.mark.parametrize("stream", [">&-", ">/dev/full"])
@pytest.mark.parametrize("command", WRITING)
def test_results_that_cannot_be_written_are_two_never_one(place: Path, command: str, stream: str) -> None:
    result = shell(f"onlygood {command} {stream}")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("onlygood: st")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full <&-"])
@pytest.mark.parametrize("command", WRITING)
def test_words_that_cannot_be_written_cost_nothing(place: Path, command: str, stream: str) -> None:
    result = shell(f"onlygood {command} {stream}")
    assert result.returncode == 0
    assert result.stdout


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("onlygood check tiny.onnx bad.png", 1),
        ("onlygood check tiny.onnx bad.png 2>&-", 1),
        ("onlygood check tiny.onnx bad.png 2>/dev/full", 1),
        ("onlygood check tiny.onnx bad.png >&-", 2),
        ("onlygood check tiny.onnx bad.png >/dev/full", 2),
        ("onlygood check tiny.onnx bad.png -o rows.csv >&- 2>&- <&-", 1),
        ("onlygood check tiny.onnx good.png -o rows.csv >&- 2>&- <&-", 0),
        ("onlygood check tiny.onnx good.png -o /dev/full", 2),
        ("onlygood check tiny.onnx good.png >&- 2>&- <&-", 2),
        ("onlygood check tiny.onnx - <&-", 2),
        ("onlygood check tiny.onnx --files-from - <&-", 2),
        ("onlygood check missing.onnx good.png 2>&-", 2),
        ("onlygood nonsense 2>&-", 2),
        ("onlygood 2>/dev/full", 2),
        ("onlygood check tiny.onnx good.png --threshold nan 2>/dev/full", 2),
        ("onlygood --help | true; true", 0),
    ],
)
def test_exit_codes_with_broken_streams(place: Path, line: str, code: int) -> None:
    result = shell(line)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr


def test_files_never_become_the_streams_that_were_closed(place: Path) -> None:
    """Else the model would be opened as 1 or 2, and whatever a library prints would go into it."""
    before = Path("tiny.onnx").read_bytes()
    code = (
        "import os\n"
        "from onlygood.deploy import entry\n"
        "entry._mend_streams()\n"
        "assert os.open('tiny.onnx', os.O_RDWR) > 2\n"
        "os.write(2, b'a library complains')\n"
    )
    assert shell(f'"$PYTHON" -c "{code}" >&- 2>&- <&-').returncode == 0
    assert Path("tiny.onnx").read_bytes() == before


def test_a_reader_of_the_help_that_leaves_is_a_broken_pipe(place: Path) -> None:
    line = "( onlygood fit --help; echo $? >code ) | true"
    for _ in range(5):  # a fast writer is done before the reader leaves
        shell(line)
        assert int(Path("code").read_text()) in (0, BROKEN_PIPE)


# --- faults


def faulty(error: str, arguments: str = "tasks") -> subprocess.CompletedProcess[str]:
    """The process where a command ends in this exception."""
    code = (
        "import sys, onlygood.deploy.commands.tasks as tasks\n"
        "from onlygood.deploy import entry\n"
        f"def run(options): raise {error}\n"
        "tasks.run = run\n"
        f"sys.argv[1:] = {arguments.split()!r}\n"
        "entry.main()\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603


@pytest.mark.parametrize(
    "error",
    [
        "ValueError('x')",
        "AssertionError",
        "RecursionError",
        "EOFError",
        "StopIteration",
        "BaseException('x')",
        "GeneratorExit",
        "SystemError",
        "AttributeError",
        "ImportError('x', name='onlygood.lost')",
        "UnicodeDecodeError('utf-8', b'x', 0, 1, 'x')",
    ],
)
def test_a_fault_of_ours_is_two_with_a_traceback_and_a_request(error: str) -> None:
    result = faulty(error)
    assert result.returncode == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("onlygood: this is a fault in onlygood")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        ("MemoryError", 2, "onlygood: out of memory"),
        ("OSError(28, 'No space left on device')", 2, "onlygood: standard input or output: No space left"),
        ("OSError(28, 'No space left on device', 'x.csv')", 2, "onlygood: x.csv: No space left on device"),
        ("OSError('odd')", 2, "onlygood: standard input or output: odd"),
        ("ImportError('libGL is missing')", 2, "onlygood: `onlygood tasks` cannot load a library"),
        ("SystemExit(1)", 2, ""),
        ("SystemExit('gone')", 2, ""),
        ("KeyboardInterrupt", 130, ""),
        ("entry.Terminated(15)", 143, ""),
        ("BrokenPipeError", BROKEN_PIPE, ""),
    ],
)
def test_other_ends_have_words_or_a_code_of_their_own(error: str, code: int, words: str) -> None:
    result = faulty(error)
    assert result.returncode == code
    assert result.stderr.strip().startswith(words)
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 1


def test_an_installation_that_lacks_a_package_is_two() -> None:
    code = "import sys; sys.modules['typer'] = None; from onlygood.deploy.entry import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)  # noqa: S603
    assert result.returncode == 2


# --- signals


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_unwinds_and_leaves_no_temporary_file(place: Path, number: int, code: int) -> None:
    (place / "out").mkdir()
    command = [sys.executable, "-m", "onlygood", "score", "tiny.onnx", "-", "-o", "out/rows.csv"]
    command += ["--copy-flagged", "out/copies"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdin is not None
        process.stdin.write((b"./" * 1000 + b"bad.png\n") * 50)  # more than one read; and stdin stays open
        process.stdin.flush()
        while not (place / "out/copies/bad.png").exists():
            assert process.poll() is None
        process.send_signal(number)
        _, stderr = process.communicate()
    assert process.returncode == code
    assert b"Traceback" not in stderr
    left = {path.name for path in (place / "out").rglob("*")} - {".onlygood-output"}
    assert left == {"copies", "bad.png"}


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    code = (
        "import signal\n"
        "from onlygood.deploy import entry\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "entry._listen()\n"
        "assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN\n"
        "assert signal.getsignal(signal.SIGTERM) is entry._terminate\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_while_the_line_is_read_keeps_its_code(name: str, code: int) -> None:
    """typer ends with 130 then, whatever came; a service manager takes that for a failure."""
    program = (
        "import os, signal, sys\n"
        "from onlygood.deploy import entry\n"
        "from onlygood.deploy.options.models import InfoOptions\n"
        f"InfoOptions.__init__ = lambda *_, **__: os.kill(os.getpid(), signal.{name})\n"
        "sys.argv = ['onlygood', 'info', 'x']\n"
        "entry.main()\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == code  # noqa: S603
