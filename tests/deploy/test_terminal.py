"""What is drawn in a terminal: bars whose mark is the threshold, pictures of half blocks, counts below."""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import Result

from onlygood.deploy.terminal import Bars, half_blocks
from onlygood.runtime.rows.verdicts import Row, Status

SCORES = st.floats(-1e6, 1e6)


def row(score: float | None, threshold: float | None = 0.85) -> Row:
    return Row(Path("a.png"), Status.NORMAL, threshold, score)


def in_terminal(*arguments: Any, columns: int = 100, **environment: str) -> tuple[str, int]:
    """What a command writes into a terminal, on stdout and stderr, and its exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "onlygood", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=kept | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONUTF8": "1"} | environment,
    )
    os.close(theirs)
    found = b""
    while True:
        try:
            chunk = os.read(ours, 1 << 16)
        except OSError:  # Linux: the other end is closed
            break
        if not chunk:
            break
        found += chunk
    os.close(ours)
    return found.decode().replace("\r\n", "\n"), process.wait()


def seen(text: str) -> list[str]:
    """The lines that stand there in the end: without colors, and without what was cleared."""
    lines = [line.rsplit("\r\x1b[K", 1)[-1] for line in text.split("\n")]
    return [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]


def test_a_bar_by_hand() -> None:
    bars = Bars(0.0, blocks=True)
    assert bars.title == "good    │odd "
    assert bars(row(0.2)) == "█▉      │    "  # 8 · 0.2 / 0.85 = 1.88
    assert bars(row(0.85)) == "████████│    "
    assert bars(row(0.91)) == "████████│▋   "
    assert bars(row(50)) == "████████│████"
    assert bars(row(-3)) == "        │    "
    assert bars(row(None)) == bars(row(0.5, None)) == " " * 13
    assert Bars(0.0, blocks=False)(row(0.91)) == "########|#   "


@given(SCORES, SCORES, SCORES, st.booleans())
def test_a_bar_goes_beyond_the_mark_exactly_where_the_score_is_above(
    score: float, threshold: float, lowest: float, blocks: bool
) -> None:
    bars = Bars(lowest, blocks=blocks)
    bar = bars(row(score, threshold))
    assert len(bar) == len(bars.title)
    assert (bar[9] != " ") == (score > threshold)


def test_bars_suit_the_terminal() -> None:
    def stream(encoding: str) -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(), encoding)

    assert Bars.on(stream("utf-8"), None, 100) is None
    assert Bars.on(stream("utf-8"), 0.0, 79) is None
    for encoding, mark in (("utf-8", "│"), ("ascii", "|"), ("latin-1", "|")):
        bars = Bars.on(stream(encoding), 0.0, 80)
        assert bars is not None
        assert bars.title[8] == mark


def test_half_blocks_by_hand() -> None:
    pixels = np.array([[[255, 0, 0]], [[0, 0, 255]], [[9, 9, 9]]], np.uint8)  # the last has none below it
    assert half_blocks(pixels, deep=True) == (
        " " * 11
        + "\x1b[38;2;255;0;0;48;2;0;0;255m▀\x1b[0m\n"
        + " " * 11
        + "\x1b[38;2;9;9;9;48;2;0;0;0m▀\x1b[0m\n"
    )
    assert half_blocks(pixels[:2], deep=False) == " " * 11 + "\x1b[38;5;196;48;5;21m▀\x1b[0m\n"


def test_score_in_a_terminal_draws_bars_pictures_and_counts(tiny: Path, parts: Path) -> None:
    text, code = in_terminal("score", tiny, parts, "--preview", "-j", 1)
    assert code == 2  # one is no picture
    lines = seen(text)
    assert lines[0].split("path")[0] == "status            score   p-value  good    │odd   "
    named = {name: line for line in lines for name in ("a.png", "b.png", "c.png", "d.png") if name in line}
    assert "  █▉      │      " in named["a.png"]
    assert "  ████████│▌     " in named["b.png"]
    assert "c.png: text, no picture" in named["c.png"]
    # Three pictures, each 40 px wide and high, so 20 lines, below its row.
    blocks = [line for line in lines if set(line.strip()) == {"▀"}]
    assert [len(line) for line in blocks] == [11 + 40] * 60
    below = lines.index(named["b.png"]) + 1
    assert all("▀" in line for line in lines[below : below + 20])
    # Counts stand below each row, and are cleared before the next.
    counts = re.findall(r"\r\x1b\[K(\d images?, [^\x1b\r\n]*?unreadable)(?=\r)", text)
    assert counts == [
        "1 image, 0 anomalous, 0 unreadable",
        "2 images, 1 anomalous, 0 unreadable",
        "3 images, 1 anomalous, 1 unreadable",
        "4 images, 1 anomalous, 1 unreadable",
    ]
    assert not [line for line in lines[:-2] if line.startswith(("1 image", "2 images", "3 images"))]
    assert lines[-2].startswith("4 images, 1 anomalous, 1 unreadable in ")


def test_a_dumb_terminal_gets_plain_lines(tiny: Path, gray: Callable[..., Path]) -> None:
    image = gray("a.png", 230)
    text, code = in_terminal("check", tiny, image, TERM="dumb")
    assert code == 1
    assert "\x1b" not in text
    assert "│" not in text


def test_what_is_piped_is_as_before(tiny: Path, parts: Path, call: Callable[..., Result]) -> None:
    result = call("score", tiny, parts, "-f", "text")
    assert result.stdout.splitlines()[:2] == [
        "status            score   p-value  path",
        f"normal              0.2      0.75  {parts / 'a.png'}",
    ]
    assert "\x1b" not in result.stdout + result.stderr
    refused = call("score", tiny, parts, "--preview")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--preview draws in a terminal" in refused.stderr
