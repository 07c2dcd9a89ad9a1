import os
from pathlib import Path

import pytest

from onlygood.runtime.images.files import mark_output
from onlygood.runtime.rows.verdicts import Stamp
from onlygood.runtime.watch.folder import Folder


class Known(set[tuple[bytes, Stamp]]):
    def __call__(self, path: bytes, stamp: Stamp) -> bool:
        return (path, stamp) in self


def names(folder: Folder, now: float, limit: int = 99) -> list[str]:
    return [os.fsdecode(folder.below(candidate.path)) for candidate in folder.ready(now, limit)]


def write(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_file_is_ready_once_it_has_not_changed_for_the_settle_time(tmp_path: Path) -> None:
    folder = Folder(tmp_path, Known(), settle=2.0)
    file = write(tmp_path / "a.png")
    folder.look(10.0)
    assert (names(folder, 11.9), folder.due(11.5)) == ([], 0.5)
    write(file, b"xy")
    assert names(folder, 12.0) == []  # seen to have changed when it was about to be ready
    assert names(folder, 13.9) == []
    assert names(folder, 14.0) == ["a.png"]


def test_what_is_known_is_not_ready_until_it_is_another_file(tmp_path: Path) -> None:
    known = Known()
    folder = Folder(tmp_path, known, settle=0.0)
    file = write(tmp_path / "a.png")
    known.add((b"a.png", Stamp.of(file)))
    folder.look(0.0)
    assert names(folder, 0.0) == []
    write(file, b"a new one of that name")
    folder.look(1.0)
    assert names(folder, 1.0) == ["a.png"]


def test_events_find_what_a_look_finds_and_nothing_else(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for name in ("a.png", "b.txt", ".c.png", "skip/d.png", "e/.f/g.png", "h/i.PNG", "j/k/l.tif", "m/n.png"):
        write(root / name)
    mark_output(root / "ours", "test")
    write(root / "ours" / "o.png")
    flagged = root / "flagged"
    write(flagged / "p.png")
    looked = Folder(root, Known(), settle=0.0, exclude=("skip", "m/n*"), outside=flagged)
    looked.look(0.0)
    touched = Folder(root, Known(), settle=0.0, exclude=("skip", "m/n*"), outside=flagged)
    touched._ours = {root / "ours"}  # as its first look found
    for path in [*root.rglob("*"), tmp_path / "elsewhere.png", root]:
        touched.touched(path, 0.0)
    assert sorted(names(touched, 0.0)) == sorted(names(looked, 0.0)) == ["a.png", "h/i.PNG", "j/k/l.tif"]


def test_not_recursive_means_events_too(tmp_path: Path) -> None:
    folder = Folder(tmp_path, Known(), settle=0.0, recursive=False)
    for path in (write(tmp_path / "a.png"), write(tmp_path / "sub" / "b.png")):
        folder.touched(path, 0.0)
    folder.look(0.0)
    assert names(folder, 0.0) == ["a.png"]


def test_files_that_vanish_are_followed_no_longer(tmp_path: Path) -> None:
    folder = Folder(tmp_path, Known(), settle=1.0)
    file = write(tmp_path / "a.png")
    folder.look(0.0)
    file.unlink()
    assert (names(folder, 5.0), len(folder)) == ([], 0)


def test_an_unreadable_file_has_ten_settle_times_to_become_whole(tmp_path: Path) -> None:
    folder = Folder(tmp_path, Known(), settle=1.0)
    write(tmp_path / "a.png")
    folder.look(0.0)
    (candidate,) = folder.ready(1.0, 9)
    assert folder.give_time(candidate, 1.0)
    assert (folder.ready(9.9, 9), folder.due(9.0)) == ([], 1.0)
    assert folder.ready(10.0, 9) == [candidate]
    assert not folder.give_time(candidate, 10.0)


def test_the_longest_waiting_come_first_and_not_all_at_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path, Known(), settle=0.0)
    for now, name in enumerate(["b.png", "c.png", "a.png"]):
        folder.touched(write(tmp_path / name), float(now))
    assert names(folder, 9.0, limit=2) == ["b.png", "c.png"]


def test_more_files_than_are_followed_are_found_by_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onlygood.runtime.watch.folder._MOST", 2)
    known = Known()
    folder = Folder(tmp_path, known, settle=0.0)
    for name in ("a.png", "b.png", "c.png"):
        write(tmp_path / name)
    folder.look(0.0)
    assert (len(folder), folder.more) == (2, True)
    for candidate in folder.ready(0.0, 9):
        known.add((folder.below(candidate.path), candidate.stamp))
        folder.drop(candidate)
    folder.look(1.0)
    assert (names(folder, 1.0), folder.more) == (["c.png"], False)


def test_a_folder_that_is_gone_is_no_empty_folder(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "in", Known(), settle=0.0)
    folder.look(0.0)
    assert not folder.readable
    write(tmp_path / "in" / "a.png")
    folder.look(1.0)
    assert (folder.readable, folder.images) == (True, 1)


def test_files_that_grow_and_grow_are_counted(tmp_path: Path) -> None:
    folder = Folder(tmp_path, Known(), settle=1.0)
    write(tmp_path / "a.png")
    file = write(tmp_path / "b.png")
    folder.look(0.0)
    write(file, b"longer")
    folder.look(0.5)
    assert (len(folder), folder.growing(10.0), folder.growing(10.1)) == (2, 0, 1)
