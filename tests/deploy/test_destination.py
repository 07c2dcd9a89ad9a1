"""Where results go: refused before any work is done, or there whole."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from onlygood.deploy import destination as module
from onlygood.deploy.destination import check_folder, check_output, destination, passed_on
from onlygood.runtime.errors import OnlygoodError


def refusal(check: Callable[[], None]) -> str:
    with pytest.raises(OnlygoodError) as caught:
        check()
    return str(caught.value)


def test_a_new_file_and_an_old_one_will_do_and_nothing_is_left(tmp_path: Path) -> None:
    check_output(tmp_path / "new.csv")
    (tmp_path / "old.csv").write_text("old")
    check_output(tmp_path / "old.csv", inputs=[tmp_path / "missing", tmp_path])
    check_output(tmp_path / "far/away/new.csv", make_folders=True)
    check_folder(tmp_path)
    check_folder(tmp_path / "far/away")
    assert [path.name for path in tmp_path.iterdir()] == ["old.csv"]
    assert (tmp_path / "old.csv").read_text() == "old"


def test_what_could_not_be_written_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "is a folder" in refusal(lambda: check_output(tmp_path))
    assert "is a folder" in refusal(lambda: check_output(Path()))
    assert "there is no folder" in refusal(lambda: check_output(tmp_path / "no/x.csv"))
    assert "nothing can be written in" in refusal(lambda: check_output(file / "x/y", make_folders=True))
    assert "File name too long" in refusal(lambda: check_output(tmp_path / ("x" * 300)))
    assert "is a file; name a folder" in refusal(lambda: check_folder(file))
    assert "nothing can be written in" in refusal(lambda: check_folder(file / "x"))
    assert "not a regular file" in refusal(lambda: check_output(Path("/dev/null")))
    check_output(Path("/dev/null"), device=True)
    check_output(Path("/dev/stdout"), device=True)


def test_another_kind_of_picture_is_refused(tmp_path: Path) -> None:
    for name in ("x.jpg", "x", ".png", "png"):
        words = refusal(lambda name=name: check_output(tmp_path / name, pictures=[".png"]))  # type: ignore[misc]
        assert words == f"{tmp_path / name}: the picture's name ends in .png"
    check_output(tmp_path / "x.y.PNG", pictures=[".png"])
    words = refusal(lambda: check_output(tmp_path / "x.jpg", pictures=[".png", ".svg", ".pdf"]))
    assert words.endswith("ends in .png, .svg or .pdf")


def test_a_disk_that_takes_nothing_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(module.tempfile, "TemporaryFile", full)
    assert "Read-only file system" in refusal(lambda: check_output(tmp_path / "x.csv"))
    assert "Read-only file system" in refusal(lambda: check_folder(tmp_path / "report"))


def test_a_protected_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.onnx").touch()
    monkeypatch.setattr(module.os, "access", lambda path, mode: False)  # root may write everything
    assert "write-protected" in refusal(lambda: check_output(tmp_path / "model.onnx"))


@pytest.mark.parametrize("alias", ["same", "symbolic", "hard", "dotted"])
def test_an_input_is_never_an_output_by_whatever_name(tmp_path: Path, alias: str) -> None:
    image = tmp_path / "part.png"
    image.write_bytes(b"pixels")
    output = {
        "same": image,
        "symbolic": tmp_path / "link",
        "hard": tmp_path / "twin",
        "dotted": tmp_path / "x/../part.png",
    }[alias]
    (tmp_path / "x").mkdir()
    if alias == "symbolic":
        output.symlink_to(image)
    if alias == "hard":
        output.hardlink_to(image)
    other = tmp_path / "other.png"
    other.touch()
    for check in (
        lambda: check_output(output, inputs=[other, image]),
        lambda: list(passed_on([other, image], output)),
    ):
        assert "part.png is read, and -o would overwrite it" in refusal(check)
    assert list(passed_on([other, image], tmp_path / "new.csv")) == [other, image]
    assert list(passed_on([other, image], None)) == [other, image]


def test_nothing_half_is_left_where_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "rows.csv").write_text("before")
    monkeypatch.setattr(module.os, "fsync", full)
    with (
        pytest.raises(OSError, match="No space left") as caught,
        destination(tmp_path / "rows.csv", "csv") as file,
    ):
        file.write("half")
    assert caught.value.filename == str(tmp_path / "rows.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
    assert (tmp_path / "rows.csv").read_text() == "before"


def test_a_descriptor_is_written_into_whatever_it_is(tmp_path: Path) -> None:
    """``>(gzip >x)`` is /dev/fd/63; and a file that is appended to with >> keeps what it holds."""
    read, write = os.pipe()
    with destination(Path(f"/dev/fd/{write}"), "csv") as file:
        file.write("row\n")
    os.close(write)
    assert os.read(read, 99) == b"row\n"
    os.close(read)
    log = tmp_path / "log.csv"
    log.write_text("before\n")
    with log.open("a") as shell:
        with destination(Path(f"/proc/self/fd/{shell.fileno()}"), "csv") as file:
            file.write("row\n")
        assert log.read_text() == "before\nrow\n"
    with pytest.raises(OSError, match="Bad file descriptor"), destination(Path("/dev/fd/987"), "csv"):
        pass


def test_a_long_name_leaves_room_for_the_temporary_one(tmp_path: Path) -> None:
    output = tmp_path / ("x" * 255)
    check_output(output)
    with destination(output, "csv") as file:
        file.write("row\n")
    assert output.read_text() == "row\n"
