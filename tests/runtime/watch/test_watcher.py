"""The loop, on a clock that stands still but for its own waits, with a judge who knows all answers."""

import errno
import json
import os
from pathlib import Path

import pytest
from stage import Receiver, Stage

from onlygood.runtime.rows.verdicts import Stamp
from onlygood.runtime.watch.gauges import gauges
from onlygood.runtime.watch.metrics import exposition
from onlygood.runtime.watch.state import State, Unsaved


def test_each_file_is_judged_once_also_across_restarts(stage: Stage, tmp_path: Path) -> None:
    with State(tmp_path / "s") as state:
        scene = stage(state)
        scene.put("a.png")
        scene.at(3.5, lambda: scene.put("b.png", "a"))
        scene.until(20.0)
        assert scene.judge.judged == scene.sheet.names() == ["a.png", "b.png"]
    with State(tmp_path / "s") as state:
        scene = stage(state)
        scene.put("c.png")
        scene.watcher.run(once=True)
        assert scene.judge.judged == scene.sheet.names() == ["c.png"]
        assert scene.sheet.rows[0]["id"] == f"{state.id}-3"


def test_an_event_makes_it_faster_than_the_next_look(stage: Stage) -> None:
    with State(None) as state:
        scene = stage(state)
        scene.watcher.poll = 1000.0
        scene.at(5.0, lambda: scene.clock.touched(scene.put("a.png")))
        scene.until(12.0)
        assert scene.sheet.names() == ["a.png"]


def test_a_file_that_grows_while_it_is_read_is_judged_when_it_is_whole(stage: Stage) -> None:
    with State(None) as state:
        scene = stage(state)
        scene.put("a.png", "e half")

        def finish(path: Path) -> None:
            scene.judge.before = lambda path: None
            path.write_text("normal, and whole")

        scene.judge.before = finish
        scene.watcher.run(once=True)
        assert [row["status"] for row in scene.sheet.rows] == ["normal"]


def test_a_file_that_stalls_half_written_gets_no_verdict_before_it_is_whole(stage: Stage) -> None:
    with State(None) as state:
        scene = stage(state)
        scene.put("a.png", "e half")
        scene.at(8.0, lambda: scene.put("a.png", "n whole"))
        scene.put("b.png", "e for good")
        scene.until(40.0)
        assert [(row["path"][-5:], row["status"]) for row in scene.sheet.rows] == [
            ("a.png", "normal"),
            ("b.png", "error"),
        ]


def test_a_second_row_of_a_file_says_which_it_replaces(stage: Stage, tmp_path: Path) -> None:
    """A writer slower than ten times the settle time; and a file that is overwritten after a restart."""
    with State(tmp_path / "s") as state:
        scene = stage(state)
        scene.put("slow.png", "e half")
        scene.put("once.png", "n")
        scene.at(25.0, lambda: scene.put("slow.png", "a whole"))
        scene.until(40.0)
        first = [(row["path"][-8:], row["status"], row.get("replaces")) for row in scene.sheet.rows]
        assert first == [
            ("once.png", "normal", None),
            ("slow.png", "error", None),
            ("slow.png", "anomalous", scene.sheet.rows[1]["id"]),
        ]
    with State(tmp_path / "s") as state:
        again = stage(state)
        again.put("once.png", "a, later")
        again.watcher.run(once=True)
        assert [row["replaces"] for row in again.sheet.rows] == [scene.sheet.rows[0]["id"]]


def test_a_file_that_vanishes_is_said_and_gets_no_verdict(stage: Stage) -> None:
    with State(None) as state:
        scene = stage(state)
        scene.put("a.png")
        scene.judge.before = Path.unlink
        scene.watcher.run(once=True)
        assert (scene.sheet.rows, scene.watcher.tally.vanished) == ([], 1)
        assert "a.png: gone before it could be judged" in scene.said[0]


def test_a_full_disk_stops_judging_and_loses_and_repeats_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with State(None) as state:
        scene = stage(state)
        for name in "abc":
            scene.put(f"{name}.png")

        def full(*_: object) -> None:
            raise Unsaved("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(state, "record", full)
            scene.until(30.0)
            scene.put("d.png")
            scene.until(60.0)
            assert (scene.sheet.rows, scene.judge.judged) == ([], ["a.png", "b.png", "c.png"])
            assert "onlygood_watch_state_writable 0\n" in exposition(gauges(scene.watcher, "m", 0.0))
        scene.until(120.0)
        assert scene.judge.judged == scene.sheet.names() == ["a.png", "b.png", "c.png", "d.png"]
        assert scene.said == ["the disk is full; waiting, nothing is lost", "the state is written again"]


def test_rows_that_were_written_are_not_repeated_while_the_state_is_full(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with State(None) as state:
        scene = stage(state)
        scene.put("a.png")

        def full(*_: object) -> None:
            raise Unsaved("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(state, "settle", full)
            scene.until(30.0)
        scene.until(90.0)
        assert scene.sheet.names() == ["a.png"]
        assert state.queued() == {}


def test_rows_wait_for_a_full_disk_of_their_own(stage: Stage) -> None:
    with State(None) as state:
        scene = stage(state)
        scene.put("a.png")
        scene.sheet.problem = OSError(errno.ENOSPC, "No space left on device")
        scene.until(20.0)
        scene.put("b.png")
        scene.until(30.0)
        assert (scene.judge.judged, scene.sheet.rows) == (["a.png", "b.png"], [])
        scene.sheet.problem = None
        scene.until(90.0)
        assert scene.sheet.names() == ["a.png", "b.png"]
        assert len(scene.said) == 2


def test_once_does_not_wait_for_disks(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with State(None) as state:
        scene = stage(state)
        scene.put("a.png")
        scene.sheet.problem = OSError(errno.ENOSPC, "No space left on device")
        with pytest.raises(OSError, match="No space"):
            scene.watcher.run(once=True)
        assert state.queued() == {"rows": (1, 0)}


def test_a_reader_that_has_left_ends_the_watch_and_its_rows_wait(stage: Stage) -> None:
    with State(None) as state:
        scene = stage(state)
        scene.put("a.png")
        scene.sheet.problem = BrokenPipeError()
        with pytest.raises(BrokenPipeError):
            scene.watcher.run()
        assert state.queued() == {"rows": (1, 0)}


def test_a_dead_receiver_delays_no_verdict_and_gets_each_once_it_is_back(stage: Stage) -> None:
    receiver = Receiver()
    with State(None) as state:
        scene = stage(state, receiver)
        receiver.down = True
        for number in range(5):
            scene.at(2.0 * number, lambda number=number: scene.put(f"{number}.png"))  # type: ignore[misc]
        scene.until(30.0)
        assert len(scene.sheet.rows) == 5
        assert state.queued() == {"webhook": (5, 0)}
        receiver.down = False
        scene.until(2000.0)
        scene.watcher.couriers[0].close(10)
        assert [entry.id for entry in receiver.sent] == [row["id"] for row in scene.sheet.rows]
        assert state.queued() == {}


def test_flagged_images_move_and_their_names_are_free_again(stage: Stage, tmp_path: Path) -> None:
    with State(tmp_path / "s") as state:
        scene = stage(state, move=True)
        first, good = scene.put("a.png", "a one"), scene.put("b.png", "n")
        stamp = first.stat().st_mtime_ns
        scene.watcher.run(once=True)
        assert (first.exists(), good.exists()) == (False, True)
        assert Path(scene.sheet.rows[0]["moved_to"]).read_text() == "a one"
        os.utime(scene.put("a.png", "a two"), ns=(stamp, stamp))  # a camera that knows no clock
        again = stage(state, move=True)
        again.watcher.run(once=True)
        moved = [Path(row["moved_to"]) for row in scene.sheet.rows + again.sheet.rows if "moved_to" in row]
        assert [path.name for path in moved] == ["a.png", "a.3.png"]
        assert [path.read_text() for path in moved] == ["a one", "a two"]


def test_receivers_may_be_told_of_flagged_images_only(stage: Stage) -> None:
    receiver = Receiver()
    with State(None) as state:
        scene = stage(state, receiver, flagged_only=True)
        for letter in "naue":
            scene.put(f"{letter}.png", letter)
        scene.watcher.run(once=True)
        scene.watcher.couriers[0].close(10)
        assert sorted(json.loads(entry.body)["status"] for entry in receiver.sent) == [
            "anomalous",
            "error",
            "unusable",
        ]
        assert len(scene.sheet.rows) == 4


def test_once_leaves_what_is_still_being_written(stage: Stage) -> None:
    with State(None) as state:
        scene = stage(state)
        growing = scene.put("a.png", "n")
        for tenth in range(1, 200):
            scene.at(tenth / 10, lambda: growing.write_text(growing.read_text() + "n"))
        scene.put("b.png")
        scene.watcher.run(once=True)
        assert (scene.sheet.names(), len(scene.watcher.folder)) == (["b.png"], 1)


def test_a_stop_in_the_middle_keeps_what_was_judged(stage: Stage, tmp_path: Path) -> None:
    with State(tmp_path / "s") as state:
        scene = stage(state)
        for number in range(6):
            scene.put(f"{number}.png")
        scene.judge.before = lambda path: scene.clock.stop() if path.name == "3.png" else None
        scene.watcher.run()
        assert scene.judge.judged == scene.sheet.names() == ["0.png", "1.png", "2.png", "3.png"]
        scene.clock.stopped = False
        scene.watcher.run(once=True)
        assert scene.sheet.names() == [f"{number}.png" for number in range(6)]


def test_files_long_gone_are_forgotten_but_not_if_the_folder_is_empty(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with State(None) as state:
        scene = stage(state)
        first = scene.put("a.png")
        stamp = Stamp.of(first)
        scene.watcher.run(once=True)
        first.unlink()
        monkeypatch.setattr("onlygood.runtime.watch.watcher._KEPT", -1.0)
        scene.until(scene.clock.now + 10)
        assert state.knows(b"a.png", stamp)
        scene.put("b.png")
        scene.until(scene.clock.now + 10)
        assert not state.knows(b"a.png", stamp)
        assert state.knows(b"b.png", Stamp.of(scene.root / "b.png"))


def test_a_folder_that_goes_and_comes_is_said_once(stage: Stage) -> None:
    with State(None) as state:
        scene = stage(state)
        scene.at(5.0, lambda: scene.root.rename(scene.root.with_name("away")))
        scene.at(15.0, lambda: scene.root.with_name("away").rename(scene.root))
        scene.at(16.0, lambda: scene.put("a.png"))
        scene.until(30.0)
        assert scene.said == ["the folder cannot be read; waiting", "the folder is there again"]
        assert scene.sheet.names() == ["a.png"]
