"""Images that a list of marks calls bad are not learned from."""

from pathlib import Path

import pytest
from tiny_files import rows, touch

from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.data.excluded import excluding
from onlygood.runtime.errors import OnlygoodError


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return touch(tmp_path / "good", "a.png", "b.png", "sub/c.png")


def write(folder: Path, text: str) -> Path:
    (folder / "marks.csv").write_text(text, encoding="utf-8")
    return folder / "marks.csv"


def test_what_is_called_bad_goes_and_what_is_called_fine_stays(good: Path, tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere.png")
    marks = write(
        tmp_path, f'path,label\n"{good}/sub/c.png",bad\n{good}/a.png,good\n{tmp_path}/elsewhere.png,bad\n'
    )
    left = excluding(discover(good, "train"), marks)
    assert [row[0] for row in rows(left)] == ["a.png", "b.png"]
    assert "1 left out, which marks.csv calls bad (1 more that it calls bad are not among" in left.description


def test_a_file_is_known_by_any_path(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(good)
    marks = write(tmp_path, "path,label\nlink/../good/b.png,bad\n")
    monkeypatch.chdir(tmp_path)
    for given in (good, Path("good"), Path("link")):
        left = excluding(discover(given, "train", all_good=True), marks)
        assert {sample.path.name for sample in left.samples} == {"a.png", "c.png"}


def test_all_parts_of_a_list_count(good: Path, tmp_path: Path) -> None:
    marks = write(tmp_path, "path,label,split\ngood/a.png,bad,test\ngood/b.png,bad,train\n")
    assert [row[0] for row in rows(excluding(discover(good, "train"), marks))] == ["sub/c.png"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,label\ngood/a.png,good\n", "calls no image bad"),
        ("path,label\ngood/a.png,bad\ngood/b.png,bad\ngood/sub/c.png,bad\n", "calls all 3 images bad"),
        ("path,label\nnone.png,bad\n", "none of its 1 files exists"),
        ("path,label\ngood/a.png,perhaps\n", "unknown labels 'perhaps'"),
    ],
)
def test_what_cannot_be_meant_is_refused(good: Path, tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(OnlygoodError, match=told):
        excluding(discover(good, "train"), write(tmp_path, text))


def test_a_list_without_labels_is_refused(good: Path, tmp_path: Path) -> None:
    (tmp_path / "marks.txt").write_text("good/a.png\n")
    with pytest.raises(OnlygoodError, match="no labels in it"):
        excluding(discover(good, "train"), tmp_path / "marks.txt")
