"""Running the demo twice is fine; running it over somebody's files is refused and deletes nothing."""

from pathlib import Path

import pytest

from onlygood.deploy.demo.dataset import Counts, image_paths, mask_path
from onlygood.deploy.demo.folder import MARKER, prepare
from onlygood.runtime.errors import OnlygoodError

IMAGES = 12


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A folder as a finished demo leaves it, with empty files."""
    directory = tmp_path / "demo"
    prepare(directory, seed=0, images=IMAGES)
    images = image_paths(directory / "data", Counts.for_training_images(IMAGES))
    masks = [mask_path(path) for path in images if path.parent.name != "good"]
    results = [directory / name for name in ("model.onnx", "scores.csv", "report/roc.png", "work/last.st")]
    for path in [*images, *masks, *results]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return directory


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_a_new_or_empty_folder_is_taken(tmp_path: Path) -> None:
    for directory in (tmp_path / "new" / "deeper", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        prepare(directory, seed=1, images=IMAGES)
        assert files(directory) == [MARKER]


def test_an_earlier_demo_is_cleared_and_files_beside_its_own_stay(earlier: Path) -> None:
    (earlier / "notes.txt").write_text("mine")
    prepare(earlier, seed=3, images=2 * IMAGES)
    assert files(earlier) == ["notes.txt", MARKER]


def test_an_interrupted_demo_can_be_run_again(earlier: Path) -> None:
    (earlier / "data" / "train" / "good" / "011.png").unlink()
    (earlier / "model.onnx").unlink()
    prepare(earlier, seed=0, images=IMAGES)
    assert files(earlier) == [MARKER]


@pytest.mark.parametrize(
    "stranger", ["data/train/good/mine.png", "data/train/good/012.png", "data/new/a.png"]
)
def test_own_images_put_among_the_demos_are_not_deleted(earlier: Path, stranger: str) -> None:
    (earlier / stranger).parent.mkdir(exist_ok=True)
    (earlier / stranger).touch()
    before = files(earlier)
    with pytest.raises(OnlygoodError, match=Path(stranger).name):
        prepare(earlier, seed=0, images=IMAGES)
    assert files(earlier) == before


def test_a_folder_with_other_files_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "model.onnx").touch()
    with pytest.raises(OnlygoodError, match="not empty and not an earlier demo"):
        prepare(tmp_path, seed=0, images=IMAGES)
    assert files(tmp_path) == ["model.onnx"]
    with pytest.raises(OnlygoodError, match="is a file"):
        prepare(tmp_path / "model.onnx", seed=0, images=IMAGES)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"images": "many"}', "\udcff"])
def test_a_damaged_marker_is_an_error_for_people(earlier: Path, content: str) -> None:
    (earlier / MARKER).write_bytes(content.encode("utf-8", "surrogateescape"))
    before = files(earlier)
    with pytest.raises(OnlygoodError, match="cannot be read"):
        prepare(earlier, seed=0, images=IMAGES)
    assert files(earlier) == before
