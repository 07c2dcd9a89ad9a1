"""A stage for the loop of `onlygood watch`: a clock that stands still, and a judge who knows all answers."""

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onlygood.runtime.rows.verdicts import Row, Settings, Stamp, Status
from onlygood.runtime.watch.courier import Courier, Unreachable
from onlygood.runtime.watch.folder import Folder
from onlygood.runtime.watch.moving import Moves
from onlygood.runtime.watch.state import Entry, State
from onlygood.runtime.watch.watcher import Wake, Watcher

SETTINGS = Settings("abc", 0.5, 16)


class Clock(Wake):
    """Waiting moves the clock; what was planned for a time happens when it comes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.plan: list[tuple[float, Callable[[], object]]] = []

    def wait(self, seconds: float) -> set[Path]:
        self.now += seconds
        while self.plan and self.plan[0][0] <= self.now:
            self.plan.pop(0)[1]()
        return super().wait(0.001)


@dataclass
class Judge:
    """The first letter of a file's content is its verdict: n, a, u or e."""

    clock: Clock
    judged: list[str] = field(default_factory=list)
    before: Callable[[Path], object] = lambda path: None

    def __call__(self, paths: Sequence[Path]) -> Generator[Row, None, None]:
        for path in paths:
            stamp, letter = Stamp.of(path), path.read_text()[0] if path.exists() else "e"
            self.before(path)
            self.judged.append(path.name)
            status = next(status for status in Status if status.startswith(letter))
            yield Row(path, status, 0.5, stamp=stamp)


@dataclass
class Sheet:
    """Where rows go; ``problem`` keeps them from it."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    problem: OSError | None = None

    def write(self, entries: Sequence[Entry]) -> None:
        if self.problem:
            raise self.problem
        self.rows += [json.loads(entry.body) for entry in entries]

    def names(self) -> list[str]:
        return [Path(row["path"]).name for row in self.rows]


class Receiver:
    name = "webhook"

    def __init__(self) -> None:
        self.sent: list[Entry] = []
        self.down = False

    def send(self, entry: Entry) -> None:
        if self.down:
            raise Unreachable("host is down")
        self.sent.append(entry)

    def close(self) -> None:
        pass


@dataclass
class Scene:
    watcher: Watcher
    clock: Clock
    judge: Judge
    sheet: Sheet
    said: list[str]
    root: Path

    def put(self, name: str, content: str = "n") -> Path:
        path = self.root / name
        path.write_text(content)
        return path

    def at(self, time: float, act: Callable[[], object]) -> None:
        self.clock.plan.append((time, act))
        self.clock.plan.sort(key=lambda planned: planned[0])

    def until(self, time: float) -> None:
        self.at(time, self.clock.stop)
        self.watcher.run()
        self.clock.stopped = False


Stage = Callable[..., Scene]


def stage_in(tmp_path: Path) -> Callable[..., Scene]:
    """What sets the scene for a folder ``in`` below ``tmp_path``."""
    (tmp_path / "in").mkdir()

    def make(state: State, receiver: Receiver | None = None, *, move: bool = False, **changes: Any) -> Scene:
        clock, sheet, said = Clock(), Sheet(), list[str]()
        judge, root = Judge(clock), tmp_path / "in"
        couriers = [] if receiver is None else [Courier(receiver, state, clock.up, said.append)]
        watcher = Watcher(
            folder=Folder(root, state.knows, settle=1.0),
            state=state,
            judge=judge,
            settings=SETTINGS,
            rows=sheet,
            couriers=couriers,
            moves=Moves(root, tmp_path / "flagged") if move else None,
            flagged_only=changes.pop("flagged_only", False),
            poll=2.0,
            wake=clock,
            say=said.append,
            clock=lambda: clock.now,
        )
        return Scene(watcher, clock, judge, sheet, said, root)

    return make
