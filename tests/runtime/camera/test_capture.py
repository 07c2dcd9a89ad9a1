"""Frames of a device that is made up here: the newest alone, over losses; and what asks for them."""

import itertools
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from onlygood.runtime.camera import capture, triggers
from onlygood.runtime.camera.capture import Frame, Newest, NoVideoError, Source, without_password
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.watch.courier import Backoff


class Device:
    """Gives frames of these gray levels; waits at a None until it is let on; then it is gone."""

    def __init__(self, *levels: int | None) -> None:
        self._levels = iter(levels)
        self.on = threading.Event()
        self.released = False

    def read(self) -> tuple[bool, Any]:
        level = next(self._levels, -1)
        if level is None:
            self.on.wait(60)
            self.on.clear()
            level = next(self._levels, -1)
        return (False, None) if level < 0 else (True, np.full((4, 6, 3), level, np.uint8))

    def release(self) -> None:
        self.released = True


def opening(*devices: Device | Exception) -> Any:
    """A function that gives one after the other, and then waits for ever."""
    rest = iter(devices)
    end = threading.Event()

    def open() -> Device:
        found = next(rest, None)
        if found is None:
            end.wait(60)
            raise NoVideoError("the test is over")
        if isinstance(found, Exception):
            raise found
        return found

    return open


@pytest.fixture
def said() -> list[str]:
    return []


def until(newest: Newest, number: int) -> Frame:
    """The frame of this number, which must be the newest; no older one comes after a newer."""
    last, after = 0, 0.0
    while (frame := newest.wait(after, 60)) is not None:
        assert frame.number > last
        last, after = frame.number, frame.taken
        if last == number:
            return frame
    raise AssertionError(f"frame {number} did not come, but {last}")


def test_the_newest_frame_alone_is_kept(said: list[str]) -> None:
    device = Device(1, 2, 3, 4, 5, None, 6, None)
    newest = Newest(opening(device), said.append)
    fifth = until(newest, 5)
    assert fifth.pixels[0, 0].tolist() == [5, 5, 5]
    assert newest.wait(fifth.taken, 0.01) is None  # nothing came later
    device.on.set()
    sixth = newest.wait(fifth.taken, 60)
    assert sixth is not None
    assert (sixth.number, int(sixth.pixels[0, 0, 0])) == (6, 6)
    assert said == []
    newest.close()


def test_what_is_gone_is_opened_again_and_said_once(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = []

    class Counted(Backoff):
        def failed(self, now: float) -> None:
            super().failed(now)
            pauses.append(self._failures)

    monkeypatch.setattr(capture, "Backoff", Counted)
    first = Device(1, 2)
    second = Device(7, None)
    lost = (NoVideoError("it cannot be opened"), NoVideoError("it cannot be opened"))
    newest = Newest(opening(*lost, first, *lost, second), said.append, longest_pause=0.001)
    assert int(until(newest, 3).pixels[0, 0, 0]) == 7  # numbers go on
    assert said == [
        "no picture: it cannot be opened; trying again and again",
        "the picture is there again",
        "the picture is gone; trying again and again",
        "the picture is there again",
    ]
    assert first.released
    assert pauses == [1, 2, 1, 2, 3]  # they begin anew once there was a picture
    newest.close()


@pytest.mark.parametrize(("told", "rate"), [(10, 10), (0, 25), (-1, 25), (float("nan"), 25), (90_000, 25)])
def test_a_recording_that_does_not_know_its_rate_has_25_frames_a_second(
    told: float, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some say 0, and some the ticks of their clock."""
    monkeypatch.setattr(capture, "_opencv", lambda: SimpleNamespace(CAP_PROP_FPS=5))
    assert capture._rate(SimpleNamespace(get={5: told}.get)) == rate


def test_without_opencv_nobody_waits(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    newest = Newest(Source("0").open, said.append)
    with pytest.raises(OnlygoodError, match=r"pip install 'onlygood\[camera\]'"):
        newest.wait(0, 60)


def test_blue_comes_first_in_opencv_and_red_here(said: list[str]) -> None:
    class Colored(Device):
        def read(self) -> tuple[bool, Any]:
            there, pixels = super().read()
            if there:
                pixels[...] = (1, 2, 3)
            return there, pixels

    class Gray(Device):
        def read(self) -> tuple[bool, Any]:
            there, pixels = super().read()
            return there, pixels[..., 0] if there else None

    for device, expected in ((Colored(0, None), [3, 2, 1]), (Gray(9, None), [9, 9, 9])):
        newest = Newest(opening(device), said.append)
        assert until(newest, 1).pixels[2, 3].tolist() == expected
        newest.close()


@pytest.mark.parametrize(
    ("text", "live", "name"),
    [
        ("0", True, "0"),
        ("/dev/null", True, "/dev/null"),  # a device of characters, as cameras are
        ("line.mp4", False, "line.mp4"),
        ("rtsp://ada:secret@10.0.0.7:554/one?x=1", True, "rtsp://10.0.0.7:554/one?x=1"),
        ("rtsp://ada:p@ss@host/a\nb", True, "rtsp://host/ab"),
        ("x" * 5000, False, "x" * 5000),
        ("a\0b", False, "a\\x00b"),
    ],
)
def test_what_a_source_is_and_how_it_is_called(text: str, live: bool, name: str) -> None:
    source = Source(text)
    assert (source.live, source.name) == (live, name)
    assert "secret" not in source.name


def test_only_addresses_lose_user_and_password() -> None:
    assert without_password("a@b.mp4") == "a@b.mp4"
    assert without_password("http://u@h/") == "http://h/"


# --- what asks for frames


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Asked:
    """Answers with a frame that comes ``later`` seconds after it was asked for; keeps what it was asked."""

    def __init__(self, clock: Clock, *later: float | None) -> None:
        self.clock, self.later = clock, iter(later)
        self.after: list[float] = []

    def wait(self, after: float, seconds: float) -> Frame | None:
        self.after.append(after)
        later = next(self.later)
        self.clock.now += seconds if later is None else later
        if later is None:
            return None
        return Frame(np.zeros((1, 1, 3), np.uint8), len(self.after), self.clock.now, 0.0)


def numbers(shots: Iterator[triggers.Shot], count: int) -> list[int | None]:
    return [shot.frame.number if shot.frame else None for shot in itertools.islice(shots, count)]


def test_the_newest_is_always_newer_than_the_one_before() -> None:
    clock = Clock()
    asked = Asked(clock, 1.0, None, 2.0, 1.0)
    assert numbers(triggers.newest(asked, 5), 4) == [1, None, 3, 4]  # type: ignore[arg-type]
    assert asked.after == [0.0, 101.0, 101.0, 108.0]


def test_every_so_many_seconds_without_catching_up() -> None:
    """Asked at 100, 110, 120; that of 120 takes until 145, so that 130 and 140 are left out."""
    clock = Clock()
    asked = Asked(clock, 0.5, 0.5, 25.0, 0.0)
    shots = triggers.every(asked, 10, 60, clock=clock, sleep=clock.sleep)  # type: ignore[arg-type]
    assert numbers(shots, 4) == [1, 2, 3, 4]
    assert asked.after == [100.0, 110.0, 120.0, 150.0]


def test_a_line_gets_a_frame_that_came_after_it() -> None:
    clock = Clock()
    asked = Asked(clock, 0.25, None, 0.5)
    shots = list(triggers.lines(asked, ["A 1\n", "A 2\r\n", "\n"], 5, clock=clock))  # type: ignore[arg-type]
    assert [shot.trigger for shot in shots] == ["A 1", "A 2", ""]
    assert [shot.frame is None for shot in shots] == [False, True, False]
    assert asked.after == [100.0, 100.25, 105.25]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, list(range(1, 11))),
        (0.25, [1, 4, 6, 9]),
        (0.1, list(range(1, 11))),
        (5, [1]),
        (0.3, [1, 4, 7, 10]),
    ],
)
def test_a_recording_is_sampled_by_its_own_clock(seconds: float, expected: list[int]) -> None:
    """Ten frames at 0, 0.1 … 0.9 s."""
    frames = [Frame(np.zeros((1, 1, 3), np.uint8), i + 1, 0.0, i / 10) for i in range(10)]
    assert [shot.frame.number for shot in triggers.spaced(frames, seconds) if shot.frame] == expected
