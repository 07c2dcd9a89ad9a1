"""Labelled folders and lists, and splits that depend on the contents alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onlygood.pretrain.data.labels import LabeledPart, LabeledSet, arrange, read_labeled, split_by_content
from onlygood.pretrain.data.store import ImageStore
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import mark_output
from onlygood.runtime.images.spec import InputSpec

SPEC = InputSpec(height=8, width=8, channels=1)


def write(path: Path, level: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), level, np.uint8)).save(path)


def load(source: Path, seed: int = 0) -> LabeledSet:
    found = read_labeled(source)
    store = ImageStore.build(found.paths, SPEC, source.parent / "cache", progress=False)
    return arrange(found, store, seed=seed)


def levels(data: LabeledSet, part: LabeledPart) -> list[int]:
    return sorted(data.store.batch(part.ids)[:, 0, 0, 0].tolist())


def test_train_and_test_as_given(tmp_path: Path) -> None:
    for index, name in enumerate(
        ["train/cat/a", "train/dog/deep/b", "test/cat/c", "test/dog/d", "train/cat/e"]
    ):
        write(tmp_path / f"data/{name}.png", index)
    data = load(tmp_path / "data")
    assert data.classes == ("cat", "dog")
    assert levels(data, data.train) == [0, 1, 4]
    assert data.counts(data.train) == {"cat": 2, "dog": 1}
    assert data.train.labels.tolist() == [0, 0, 1]
    assert levels(data, data.test) == [2, 3]
    assert data.notes == ()


def test_val_stands_for_test(tmp_path: Path) -> None:
    for index, name in enumerate(["train/x/a", "train/y/b", "val/x/c"]):
        write(tmp_path / f"data/{name}.png", index)
    data = load(tmp_path / "data")
    assert levels(data, data.test) == [2]
    assert "train and val" in data.description


def test_one_folder_is_split_within_each_class(tmp_path: Path) -> None:
    for index in range(40):
        write(tmp_path / f"data/{'cat' if index < 30 else 'dog'}/{index}.png", index)
    data = load(tmp_path / "data")
    assert data.counts(data.test) == {"cat": 6, "dog": 2}
    assert data.counts(data.train) == {"cat": 24, "dog": 8}
    again, other = load(tmp_path / "data"), load(tmp_path / "data", seed=1)
    assert levels(data, data.test) == levels(again, again.test)
    assert levels(data, data.test) != levels(other, other.test)


def test_the_split_follows_contents_not_names(tmp_path: Path) -> None:
    for index in range(20):
        write(tmp_path / f"one/{index % 2}/{index}.png", index)
        write(tmp_path / f"two/{index % 2}/{'abc'[index % 3]}/{100 - index}.png", index)
    one, two = load(tmp_path / "one"), load(tmp_path / "two")
    assert levels(one, one.test) == levels(two, two.test)
    assert one.fingerprint == two.fingerprint


def test_equal_files_stay_together() -> None:
    hashes = [str(i // 4) for i in range(80)]
    chosen = split_by_content(np.repeat([0, 1], 40), hashes, 0.25, 0)
    assert chosen.sum() == 2 * 8  # 2 of 10 contents a class, in 4 copies each
    assert not {h for h, c in zip(hashes, chosen, strict=True) if c} & {
        h for h, c in zip(hashes, chosen, strict=True) if not c
    }


def test_a_class_of_one_is_never_held_out() -> None:
    assert split_by_content(np.array([0, 1, 1]), ["a", "b", "c"], 0.9, 0).tolist()[0] is False
    assert split_by_content(np.array([0, 1, 1]), ["a", "b", "c"], 0.01, 0).sum() == 1
    lonely = LabeledPart(np.arange(2), np.arange(2), ["a", "b"])
    with pytest.raises(OnlygoodError, match="no class has two"):
        lonely.held_out(0.5, 0)


def test_held_out_parts_do_not_overlap() -> None:
    whole = LabeledPart(np.arange(10, 30), np.arange(20) % 2, [str(i) for i in range(20)])
    inner, held = whole.held_out(0.2, 3)
    assert sorted([*inner.ids, *held.ids]) == list(range(10, 30))
    assert np.bincount(held.labels).tolist() == [2, 2]
    assert [whole.hashes[i - 10] for i in held.ids] == held.hashes


def test_contradictions_are_left_out_and_leaks_are_named(tmp_path: Path) -> None:
    for name, level in [
        ("train/x/a", 0),
        ("train/y/b", 1),
        ("train/x/c", 7),
        ("train/y/c", 7),
        ("test/x/d", 0),
    ]:
        write(tmp_path / f"data/{name}.png", level)
    data = load(tmp_path / "data")
    assert levels(data, data.train) == [0, 1]
    assert "2 images left out" in data.notes[0]
    assert "1 test images are in train too" in data.notes[1]


def test_copies_that_were_saved_anew_stay_together_and_contradict(tmp_path: Path) -> None:
    """A BMP and a PNG of the same pixels are one content: neither split apart nor of two classes."""
    for index in range(20):
        for ending in ("png", "bmp"):
            write(tmp_path / f"data/{index % 2}/{index}.{ending}", index)
    write(tmp_path / "data/1/lie.bmp", 0)
    data = load(tmp_path / "data")
    assert set(levels(data, data.train)).isdisjoint(levels(data, data.test))
    assert 0 not in levels(data, data.train) + levels(data, data.test)
    assert "3 images left out" in data.notes[0]


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_list_with_and_without_a_split(tmp_path: Path, delimiter: str) -> None:
    for index in range(4):
        write(tmp_path / f"{index}.png", index)
    lines = ["split,path,label", "train,0.png,x", "train,1.png,y", "test,2.png,x", "test,3.png,y"]
    (tmp_path / "list.csv").write_text("\n".join(lines).replace(",", delimiter))
    data = load(tmp_path / "list.csv")
    assert levels(data, data.train) == [0, 1]
    assert levels(data, data.test) == [2, 3]
    lines = ["path,label", "0.png,x", "1.png,y", "2.png,x", "3.png,y"]
    (tmp_path / "list.csv").write_text("\n".join(lines).replace(",", delimiter))
    data = load(tmp_path / "list.csv")
    assert data.counts(data.test) == {"x": 1, "y": 1}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,class\na.png,x\n", "path,label"),
        ("path,label\n", "empty"),
        ("path,label\na.png,\n", "line 2"),
        ("path,label,split\na.png,x,tset\nb.png,x,\n", r"holds 'tset' \(1\), '' \(1\); understood are train"),
        ("path,label\na.png,x,y\n", "line 2: 3 columns where the header names 2"),
        ("path,label,path\na.png,x,y\n", "names 'path' twice"),
    ],
)
def test_lists_that_cannot_be_read(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(OnlygoodError, match=words):
        read_labeled(tmp_path / "list.csv")


def test_splits_and_numbers_however_they_are_written(tmp_path: Path) -> None:
    for name in ("0", "1", "2", "3", "4", "e\u0301"):
        write(tmp_path / f"{name}.png", ord(name[0]) - 48)
    rows = ["0.png,0.0,Train", "1.png,1,TRAIN ", "2.png,0,test", "3.png,1.0,Test", "4.png,0,val"]
    rows += ["\u00e9.png,1,training"]  # composed otherwise than on the disk
    (tmp_path / "list.csv").write_text("\r\n".join(["\ufeffpath,label,split", *rows]), encoding="utf-8")
    data = load(tmp_path / "list.csv")
    assert data.classes == ("0", "1")
    assert levels(data, data.train) == [0, 1, ord("e") - 48]
    assert levels(data, data.test) == [2, 3]
    assert "1 for validation left out" in data.description
    (tmp_path / "list.csv").write_text("path,label,split\n0.png,x,train\n1.png,y,train\n4.png,x,valid\n")
    data = load(tmp_path / "list.csv")
    assert levels(data, data.test) == [4]


def test_train_and_test_in_capitals_are_no_classes(tmp_path: Path) -> None:
    for index, name in enumerate(["Train/x/a", "Train/y/b", "Test/x/c", "Val/y/d"]):
        write(tmp_path / f"data/{name}.png", index)
    data = load(tmp_path / "data")
    assert data.classes == ("x", "y")
    assert levels(data, data.test) == [2]
    assert data.description.endswith("train and test as given, val left out")


def test_a_class_is_one_however_accents_are_composed(tmp_path: Path) -> None:
    for index, name in enumerate(["train/\u00e9/a", "train/y/b", "test/e\u0301/c"]):
        write(tmp_path / f"data/{name}.png", index)
    assert load(tmp_path / "data").classes == ("y", "\u00e9")


def test_what_onlygood_wrote_is_no_class(tmp_path: Path) -> None:
    for index, name in enumerate(["x/a", "y/b", "x/c", "y/d"]):
        write(tmp_path / f"data/{name}.png", index)
    mark_output(tmp_path / "data/report", "report")
    write(tmp_path / "data/report/roc.png", 9)
    data = load(tmp_path / "data")
    assert data.classes == ("x", "y")
    assert "report passed over" in data.description


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OnlygoodError, match="no such folder"):
        read_labeled(tmp_path / "absent")
    (tmp_path / "data").mkdir()
    with pytest.raises(OnlygoodError, match="no images"):
        read_labeled(tmp_path / "data")
    write(tmp_path / "data/x/a.png", 0)
    with pytest.raises(OnlygoodError, match="1 class"):
        load(tmp_path / "data")
    write(tmp_path / "data/loose.png", 0)
    with pytest.raises(OnlygoodError, match=r"loose\.png"):
        read_labeled(tmp_path / "data")


def test_a_class_that_is_tested_but_not_trained(tmp_path: Path) -> None:
    for index, name in enumerate(["train/x/a", "train/y/b", "test/z/c"]):
        write(tmp_path / f"data/{name}.png", index)
    with pytest.raises(OnlygoodError, match="not in train: class z"):
        load(tmp_path / "data")
