from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onlygood.deploy.serve.models import Models, loader
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.model.detector import Detector

load = loader(threads=1, provider="cpu", rate=None, bit_depth=None, any_frame=False)


@pytest.fixture
def other(make_tiny: Callable[..., Path], metadata_with: Any) -> bytes:
    """Another model of the same input: its name differs."""
    return make_tiny(metadata=metadata_with(name="other")).read_bytes()


def sha(models: Models) -> str:
    return models.all()[0].detector.file.sha256


def test_a_changed_file_is_loaded_once_it_stays_the_same(tiny: Path, other: bytes) -> None:
    models = Models([tiny], load)
    before, old = sha(models), models.find(None)
    assert models.refresh() == ([], [])
    tiny.write_bytes(other)
    assert models.refresh() == ([], [])  # it may still be written
    fresh, wrong = models.refresh()
    assert (len(fresh), wrong) == (1, [])
    assert sha(models) == Detector.load(tiny).file.sha256 != before
    assert models.refresh() == ([], [])
    assert old is not None
    assert old.detector.file.sha256 == before  # who has it goes on with it


def test_at_once_does_not_wait_for_a_second_look(tiny: Path, other: bytes) -> None:
    models = Models([tiny], load)
    tiny.write_bytes(other)
    assert len(models.refresh(at_once=True)[0]) == 1


def test_what_cannot_be_loaded_leaves_the_old_one_and_is_tried_when_it_changes(
    tiny: Path, other: bytes
) -> None:
    models = Models([tiny], load)
    before = sha(models)
    tiny.write_bytes(other[:100])
    models.refresh()
    fresh, wrong = models.refresh()
    assert fresh == []
    assert wrong[0].startswith("tiny goes on as it is: ")
    assert models.refresh() == ([], [])  # said once
    assert sha(models) == before
    tiny.unlink()
    assert models.refresh() == ([], [])
    tiny.write_bytes(other)
    models.refresh()
    assert len(models.refresh()[0]) == 1


def test_two_files_of_one_name_are_refused(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    twin = tmp_path / "sub" / "tiny.onnx"
    twin.write_bytes(tiny.read_bytes())
    with pytest.raises(OnlygoodError, match="rename one of them"):
        Models([tiny, twin], load)


def test_options_decide_threshold_and_depth(tiny: Path) -> None:
    strict = loader(threads=1, provider="cpu", rate=0.3, bit_depth=12, any_frame=True)(tiny, "t")
    assert strict.threshold == Detector.load(tiny).threshold(0.3)
    assert (strict.spec.bit_depth, strict.settings.bit_depth, strict.settings.any_frame) == (12, 12, True)
