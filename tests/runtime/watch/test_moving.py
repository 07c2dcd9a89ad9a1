import errno
import os
from pathlib import Path

import pytest

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import OUTPUT_MARKER
from onlygood.runtime.rows.verdicts import Stamp
from onlygood.runtime.watch.moving import Moves

NAMES = ["a.png", "deep/er/b.png", "caf\udce9\n.png", "-rf.png", "x" * 240 + ".png"]


@pytest.fixture(params=["links", "another disk"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Moves within a disk, and to one whose files cannot be linked from here."""
    if request.param == "another disk":

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EXDEV, "Invalid cross-device link")

        monkeypatch.setattr(os, "link", refuse)
    return str(request.param)


def put(path: Path, content: bytes = b"flagged") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def left(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return found - {OUTPUT_MARKER}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_goes_to_its_own_path(tmp_path: Path, disk: str, name: str) -> None:
    root, target = tmp_path / "in", tmp_path / "out"
    moves, file = Moves(root, target), put(root / name)
    goal, order = moves.plan(file, Stamp.of(file), 7)
    assert goal == target / name
    assert moves.carry_out(order) == os.fsencode(name)
    assert goal.read_bytes() == b"flagged"
    assert (left(root), left(target)) == (set(), {name})


def test_a_taken_name_is_never_overwritten(tmp_path: Path, disk: str) -> None:
    root, target = tmp_path / "in", tmp_path / "out"
    moves, file = Moves(root, target), put(root / "img.png")
    put(target / "img.png", b"yesterday's")
    goal, order = moves.plan(file, Stamp.of(file), 7)
    assert goal == target / "img.7.png"
    put(goal, b"came between plan and move")
    order = order.replace("img.7.png", "img.png")  # also where the plan was made before the other came
    with pytest.raises(FileExistsError):
        moves.carry_out(order)
    assert (target / "img.png").read_bytes() == b"yesterday's"
    assert goal.read_bytes() == b"came between plan and move"
    assert file.read_bytes() == b"flagged"
    goal.unlink()
    moves.carry_out(order)
    assert (left(root), goal.read_bytes()) == (set(), b"flagged")


def test_a_kill_before_the_source_was_removed_leaves_nothing_twice(tmp_path: Path, disk: str) -> None:
    root, target = tmp_path / "in", tmp_path / "out"
    moves, file = Moves(root, target), put(root / "a.png")
    goal, order = moves.plan(file, Stamp.of(file), 7)
    stamp = file.stat()
    if disk == "links":
        goal.hardlink_to(file)
    else:
        put(goal)
        os.utime(goal, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert moves.carry_out(order) == b"a.png"
    assert (left(root), left(target)) == (set(), {"a.png"})
    assert moves.carry_out(order) is None  # and what was done is done


def test_another_file_of_that_name_stays(tmp_path: Path) -> None:
    root, target = tmp_path / "in", tmp_path / "out"
    moves, file = Moves(root, target), put(root / "a.png")
    _, order = moves.plan(file, Stamp.of(file), 7)
    put(file, b"the next image, not judged yet")
    assert moves.carry_out(order) is None
    assert (left(root), left(target)) == ({"a.png"}, set())


def test_a_link_does_not_lead_outside(tmp_path: Path) -> None:
    root, target, outside = tmp_path / "in", tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    moves, file = Moves(root, target), put(root / "sub" / "a.png")
    (target / "sub").symlink_to(outside)
    _, order = moves.plan(file, Stamp.of(file), 7)
    with pytest.raises(OSError, match="leads out"):
        moves.carry_out(order)
    assert (left(outside), file.exists()) == (set(), True)


def test_a_full_disk_leaves_the_file_where_it_was(
    tmp_path: Path, disk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, target = tmp_path / "in", tmp_path / "out"
    moves, file = Moves(root, target), put(root / "a.png")
    _, order = moves.plan(file, Stamp.of(file), 7)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copy2" if disk == "another disk" else "os.link", full)
    with pytest.raises(OSError, match="No space left"):
        moves.carry_out(order)
    assert (left(root), left(target)) == ({"a.png"}, set())


def test_a_folder_of_other_images_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "photos" / "mine.png")
    with pytest.raises(OnlygoodError, match=r"mine\.png"):
        Moves(tmp_path / "in", tmp_path / "photos")
    put(tmp_path / "file")
    with pytest.raises(OnlygoodError, match="is a file; name a folder"):
        Moves(tmp_path / "in", tmp_path / "file")
