import os
import shutil
from pathlib import Path

import pytest

from onlygood.deploy.copies import Copies
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import OUTPUT_MARKER


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "x.png"
    path.parent.mkdir()
    path.write_bytes(b"pixels")
    os.utime(path, ns=(1, 1))
    return path


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != OUTPUT_MARKER)
    return {path.name: path.read_bytes() for path in found}


def test_a_copy_has_content_and_time_of_its_image(tmp_path: Path, image: Path) -> None:
    copies = Copies(tmp_path / "out")
    copies.add(image)
    (copy,) = (tmp_path / "out").rglob("x.png")
    assert copy.read_bytes() == b"pixels"
    assert copy.stat().st_mtime_ns == image.stat().st_mtime_ns
    assert copy == tmp_path / "out" / image.relative_to(image.anchor)


@pytest.mark.parametrize("before", [None, b"earlier copy"])
def test_a_full_disk_leaves_what_was_there_and_no_half(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch, before: bytes | None
) -> None:
    copies = Copies(tmp_path / "out")
    if before is not None:
        target = tmp_path / "out" / image.relative_to(image.anchor)
        target.parent.mkdir(parents=True)
        target.write_bytes(before)

    def half(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"pix")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", half)
    with pytest.raises(OnlygoodError, match=r"x\.png cannot be copied to .*: No space left on device"):
        copies.add(image)
    assert files(tmp_path / "out") == ({} if before is None else {"x.png": before})


def test_a_copy_that_came_out_short_is_no_copy(
    tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "copy2", lambda source, target: Path(target).write_bytes(b"pix"))
    with pytest.raises(OnlygoodError, match="6 bytes, of which 3 arrived"):
        Copies(tmp_path / "out").add(image)
    assert files(tmp_path / "out") == {}


@pytest.mark.parametrize("state", ["missing", "truncated", "empty", "a folder's name", "whole"])
def test_repair_copies_again_what_is_not_whole(tmp_path: Path, image: Path, state: str) -> None:
    copies = Copies(tmp_path / "out")
    target = tmp_path / "out" / image.relative_to(image.anchor)
    target.parent.mkdir(parents=True)
    content = {"truncated": b"pix", "empty": b"", "whole": b"PIXELS"}.get(state)
    if content is not None:
        target.write_bytes(content)
    if state == "a folder's name":
        target.mkdir()
        with pytest.raises(OnlygoodError, match="cannot be copied"):
            copies.repair(image)
        return
    copies.repair(image)
    assert files(tmp_path / "out") == {"x.png": b"PIXELS" if state == "whole" else b"pixels"}
