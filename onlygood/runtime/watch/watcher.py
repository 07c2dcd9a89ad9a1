"""The loop of a watch: look, judge, write down, tell; and what it does when something of that fails."""

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from onlygood.runtime import jsontext
from onlygood.runtime.images.files import printable
from onlygood.runtime.rows.verdicts import Row, Settings, Stamp, Status, as_json
from onlygood.runtime.watch.courier import Backoff, Courier
from onlygood.runtime.watch.drifting import Drift
from onlygood.runtime.watch.folder import Candidate, Folder
from onlygood.runtime.watch.moving import Moves
from onlygood.runtime.watch.state import Entry, State, Unsaved, Verdict

_CHUNK = 32  # files that are judged before their verdicts are written down and told
_SHARE = 10  # a look at the whole folder may take a tenth of the time
_KEPT = 30 * 24 * 3600.0  # seconds after which files that are gone are forgotten
_FORGOTTEN = 1000  # files that are asked for at once
_LONGEST_WAIT = 5.0  # seconds between turns, so that metrics are fresh
_LONGEST_PAUSE = 30.0  # seconds between tries of a disk
_TRIES = 3  # of a full disk, with ``once``
_FLAGGED = (Status.ANOMALOUS, Status.UNUSABLE)

Judge = Callable[[Sequence[Path]], Generator[Row, None, None]]


class Rows(Protocol):
    """Where rows go."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Write rows, whole.

        Raises:
            OSError: none of them was written.
        """


class Wake:
    """What ends a wait: paths that were touched, work, or the wish to stop. Signal handlers may call it."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Path | None] = SimpleQueue()
        self.stopped = False

    def touched(self, path: Path) -> None:
        """A file was written."""
        self._queue.put(path)

    def up(self) -> None:
        """There is something to do."""
        self._queue.put(None)

    def stop(self) -> None:
        """End the loop once what is at hand is done."""
        self.stopped = True
        self._queue.put(None)

    def wait(self, seconds: float) -> set[Path]:
        """Wait at most this long; returns the paths that were touched."""
        paths: set[Path] = set()
        try:
            item = self._queue.get(timeout=seconds) if seconds > 0 else self._queue.get_nowait()
            while True:
                if item is not None:
                    paths.add(item)
                item = self._queue.get_nowait()
        except Empty:
            return paths


@dataclass
class Tally:
    """What this run did."""

    verdicts: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(Status, 0))
    vanished: int = 0  # files that were gone before they could be judged
    last: float | None = None  # time of the last verdict, seconds since 1970
    unsaved: bool = False  # the state cannot be written at the moment


@dataclass
class Watcher:
    """Everything that one watch is made of; `run` is its loop."""

    folder: Folder
    state: State
    judge: Judge  # yields a row for each path, in their order
    settings: Settings
    rows: Rows
    couriers: Sequence[Courier]
    moves: Moves | None
    flagged_only: bool  # couriers are told of flagged images only
    poll: float  # seconds between looks at the whole folder
    wake: Wake
    say: Callable[[str], None]
    drift: Drift | None = None
    each_turn: Sequence[Callable[["Watcher"], None]] = ()  # metrics, service manager
    clock: Callable[[], float] = time.monotonic
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self._next_look = 0.0
        self._looked = False
        self._unsaved: list[Verdict] = []
        self._written: set[int] = set()  # rows that are not taken out of the state yet
        self._disk = Backoff(_LONGEST_PAUSE)  # of the state
        self._output = Backoff(_LONGEST_PAUSE)  # of rows
        self._moving = Backoff(_LONGEST_PAUSE)
        self._readable = True
        self._asked = b""  # the last file of which it was asked whether it is gone
        self._tries = 0

    def run(self, *, once: bool = False) -> None:
        """Watch until `Wake.stop`; with ``once`` until all files are judged that are there and whole.

        Raises:
            Unsaved: the state cannot be written (only with ``once``).
            OSError: rows cannot be written (with ``once``), or nobody reads them any more.
        """
        touched: set[Path] = set()
        while not self.wake.stopped:
            self._turn(touched, once=once)
            for tell in self.each_turn:
                tell(self)
            if self.wake.stopped or (once and self._finished()):
                return
            touched = self.wake.wait(self._pause())

    def _turn(self, touched: set[Path], *, once: bool) -> None:
        now = self.clock()
        if self._disk.left(now) > 0:
            return  # what was touched meanwhile, the next look finds
        try:
            for path in touched:
                self.folder.touched(path, now)
            if self._is_time_to_look(now, once):
                self._look(now)
            self._save()
            while ready := self.folder.ready(self.clock(), _CHUNK):
                self._judge(ready)
                self._save()
                self._tell(once=once)
                if self.wake.stopped:
                    return
            self._tell(once=once)
            if self._disk.failing:
                self.say("the state is written again")
            self._disk.succeeded()
            self.tally.unsaved = False
        except Unsaved as error:
            self._tries += 1
            if once and self._tries >= _TRIES:
                raise
            if not self._disk.failing:
                self.say(f"{error}; waiting, nothing is lost")
            self._disk.failed(self.clock())
            self.tally.unsaved = True

    def _pause(self) -> float:
        """Seconds until there is something to do."""
        now = self.clock()
        if self._disk.left(now) > 0:
            return min(self._disk.left(now), _LONGEST_WAIT)
        due = [_LONGEST_WAIT, self._next_look - now, self.folder.due(now)]
        due += [courier.due(now) for courier in self.couriers]
        due += [backoff.left(now) or None for backoff in (self._output, self._moving)]
        return max(0.01, min(seconds for seconds in due if seconds is not None))

    def _finished(self) -> bool:
        """Whether ``once`` is done: what is left is still being written, or cannot be told now."""
        if self._unsaved or self.folder.more or len(self.folder) > self.folder.growing(self.clock()):
            return False
        if self._output.failing or self._moving.failing:
            return self._tries >= _TRIES
        queued = self.state.queued()
        for courier in self.couriers:
            waiting, _ = queued.get(courier.name, (0, 0))
            if not courier.idle or (waiting and not courier.backoff.failing):
                return False
        return True

    # --- look

    def _is_time_to_look(self, now: float, once: bool) -> bool:
        if self.folder.more and not len(self.folder):
            return True
        return not (once and self._looked) and now >= self._next_look

    def _look(self, now: float) -> None:
        self.folder.look(now)
        self._looked = True
        took = self.clock() - now
        self._next_look = self.clock() + max(self.poll, _SHARE * took)
        if self.folder.readable != self._readable:
            self._readable = self.folder.readable
            self.say("the folder is there again" if self._readable else "the folder cannot be read; waiting")
        if self.folder.images:  # else perhaps a disk is not mounted
            self._forget_the_gone()

    def _forget_the_gone(self) -> None:
        """Forget files that were judged long ago and are no more, so that the state does not grow forever."""
        old = self.state.judged_before(time.time() - _KEPT, self._asked, _FORGOTTEN)
        self._asked = old[-1] if old else b""
        gone = [path for path in old if Stamp.of(self.folder.root / os.fsdecode(path)).size is None]
        self.state.forget(gone)

    # --- judge and write down

    def _judge(self, ready: list[Candidate]) -> None:
        """Judge files; of each that is still as it was the verdict is kept for `_save`."""
        with closing(self.judge([candidate.path for candidate in ready])) as rows:
            for candidate, row in zip(ready, rows, strict=False):
                after = Stamp.of(candidate.path)
                if after.size is None:
                    self.folder.drop(candidate)
                    self.tally.vanished += 1
                    self.say(f"{printable(candidate.path)}: gone before it could be judged")
                elif row.stamp != candidate.stamp or after != candidate.stamp:
                    self.folder.touched(candidate.path, self.clock())
                elif row.status is not Status.ERROR or not self.folder.give_time(candidate, self.clock()):
                    self._unsaved.append(self._verdict(candidate, row))
                    self.folder.drop(candidate)
                if self.wake.stopped:
                    return

    def _verdict(self, candidate: Candidate, row: Row) -> Verdict:
        number, now = self.state.next + len(self._unsaved), time.time()
        flagged, seen, words = row.status in _FLAGGED, "", ""
        if self.drift is not None:
            row, seen, words = self.drift.add(row, number)
        if words:
            self.say(words)
        below = self.folder.below(candidate.path)
        said = {
            "id": self.state.entry_id(number),
            "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        } | as_json(row, self.settings)
        if (before := self.state.judged_as(below)) is not None:
            said["replaces"] = self.state.entry_id(before)  # the file has changed since
        bodies = {}
        if self.moves is not None and flagged:
            goal, bodies["move"] = self.moves.plan(candidate.path, candidate.stamp, number)
            said["moved_to"] = str(goal)
        text = jsontext.dumps(said)
        bodies["rows"] = text
        if flagged or row.status is Status.ERROR or not self.flagged_only:
            bodies |= {courier.name: text for courier in self.couriers}
        return Verdict(number, below, candidate.stamp, row.status, now, bodies, seen)

    def _save(self) -> None:
        """Write verdicts down.

        Raises:
            Unsaved: they are kept, and nothing else is judged before they are written.
        """
        if not self._unsaved:
            return
        self.state.record(self._unsaved, None if self.drift is None else self.drift.memory())
        for verdict in self._unsaved:
            self.tally.verdicts[Status(verdict.status)] += 1
            self.tally.last = verdict.judged
        self._unsaved = []

    # --- tell

    def _tell(self, *, once: bool) -> None:
        """Move, write rows, and send: each until it fails, and again after a pause.

        Raises:
            Unsaved: what was done could not be taken out of the state.
            OSError: rows cannot be written, and ``once`` does not wait; or nobody reads them.
        """
        now = self.clock()
        if self.moves is not None and not self._moving.left(now):
            self._move(self.moves, now)
        if not self._output.left(now):
            self._write(now, once=once)
        for courier in self.couriers:
            courier.turn(now)

    def _move(self, moves: Moves, now: float) -> None:
        for entry in self.state.waiting("move", _CHUNK):
            try:
                moved = moves.carry_out(entry.body)
            except OSError as error:
                self._tries += 1
                if not self._moving.failing:
                    self.say(f"a flagged image cannot be moved: {error}; it stays where it is for now")
                self._moving.failed(now)
                return
            self.state.settle("move", [entry.number])
            if moved is not None:
                self.state.forget([moved])
        self._moving.succeeded()

    def _write(self, now: float, *, once: bool) -> None:
        self.state.settle("rows", self._written)
        self._written.clear()
        while entries := self.state.waiting("rows", _CHUNK):
            try:
                self.rows.write(entries)
            except BrokenPipeError:
                raise
            except OSError as error:
                self._tries += 1
                if once and self._tries >= _TRIES:
                    raise
                if not self._output.failing:
                    self.say(f"rows cannot be written: {error.strerror or error}; they wait, nothing is lost")
                self._output.failed(now)
                return
            self._written |= {entry.number for entry in entries}
            self.state.settle("rows", self._written)
            self._written.clear()
        if self._output.failing:
            self.say("rows are written again")
        self._output.succeeded()
