import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_files import rows, touch

from onlygood.anomaly.data.datasets import discover, split_good
from onlygood.anomaly.data.names import meaning
from onlygood.runtime.errors import OnlygoodError

MVTEC = (
    "train/good/000.png",
    "train/good/001.png",
    "test/good/000.png",
    "test/crack/000.png",
    "test/cut/000.png",
    "test/cut/001.png",
    "ground_truth/crack/000_mask.png",
    "ground_truth/cut/000_mask.png",
    "ground_truth/cut/001_mask.png",
)


def test_flat_folder_is_all_good(tmp_path):
    found = discover(touch(tmp_path, "b.png", "a.JPG", "notes.txt"))
    assert found.layout == "flat"
    assert rows(found) == [("a.JPG", 0, "good", None), ("b.png", 0, "good", None)]
    assert "all taken as good: 2 good" in found.description


def test_mvtec_parts(tmp_path):
    touch(tmp_path, *MVTEC)
    train, test, everything = (discover(tmp_path, part) for part in ("train", "test", "all"))
    assert {train.layout, test.layout, everything.layout} == {"mvtec"}
    assert rows(train) == [("train/good/000.png", 0, "good", None), ("train/good/001.png", 0, "good", None)]
    assert rows(test) == [
        ("test/crack/000.png", 1, "crack", "ground_truth/crack/000_mask.png"),
        ("test/cut/000.png", 1, "cut", "ground_truth/cut/000_mask.png"),
        ("test/cut/001.png", 1, "cut", "ground_truth/cut/001_mask.png"),
        ("test/good/000.png", 0, "good", None),
    ]
    assert len(everything.samples) == 6
    assert "1 good and 3 anomalous (crack 1, cut 2), 3 of them with masks" in test.description


def test_mvtec_train_without_class_folder_and_left_out_folder(tmp_path):
    touch(tmp_path, "train/0.png", "test/good/0.png", "test/bad/0.png", "validation/good/0.png")
    found = discover(tmp_path)
    assert [row[0] for row in rows(found)] == ["test/bad/0.png", "test/good/0.png", "train/0.png"]
    assert "left out: validation" in found.description


def test_test_folder_of_a_mvtec_tree_finds_masks_beside_it(tmp_path):
    touch(tmp_path, *MVTEC)
    found = discover(tmp_path / "test")
    assert [s.mask.name for s in found.samples if s.label] == ["000_mask.png", "000_mask.png", "001_mask.png"]


def test_labeled_with_mask_tree(tmp_path):
    touch(
        tmp_path,
        "normal/1.jpg",
        "Crack/1.jpg",
        "fray/deep/2.jpg",
        "masks/Crack/1.png",
        "masks/fray/deep/2.png",
        "masks/fray/9.png",
        "list.csv",
    )
    found = discover(tmp_path)
    assert found.layout == "labelled"
    assert rows(found) == [
        ("Crack/1.jpg", 1, "Crack", "masks/Crack/1.png"),
        ("fray/deep/2.jpg", 1, "fray", "masks/fray/deep/2.png"),
        ("normal/1.jpg", 0, "good", None),
    ]
    assert "1 masks belong to none" in found.description
    assert [row[0] for row in rows(discover(tmp_path, "train"))] == ["normal/1.jpg"]
    assert len(discover(tmp_path, "test").samples) == 3


def test_good_bad_with_defect_folders_inside_bad(tmp_path):
    found = discover(touch(tmp_path, "OK/1.png", "NOK/scratch/2.png", "NOK/dent/3.png"))
    assert [row[1:3] for row in rows(found)] == [(1, "dent"), (1, "scratch"), (0, "good")]
    assert discover(touch(tmp_path / "two", "ok/1.png", "nok/2.png")).layout == "good-bad"


def test_flat_mask_folder_only_where_the_stem_is_unambiguous(tmp_path):
    touch(tmp_path, "good/1.png", "a/1.png", "b/1.png", "b/2.png", "mask/1.png", "mask/2.png")
    assert [row[3] for row in rows(discover(tmp_path))] == [None, None, "mask/2.png", None]


def test_masks_beside_images_are_not_images(tmp_path):
    found = discover(touch(tmp_path, "good/1.png", "bad/2.jpg", "bad/2_mask.png", "bad/face_mask.png"))
    assert rows(found) == [
        ("bad/2.jpg", 1, "bad", "bad/2_mask.png"),
        ("bad/face_mask.png", 1, "bad", None),  # no image "face": the name alone makes no mask
        ("good/1.png", 0, "good", None),
    ]


def test_folder_around_the_data_set_is_entered(tmp_path):
    touch(tmp_path / "kolektor", "good/1.png", "defective/2.png")
    assert discover(tmp_path).root == tmp_path / "kolektor"


def test_loose_images_beside_class_folders_are_left_out_and_said(tmp_path):
    found = discover(touch(tmp_path, "good/1.png", "bad/1.png", "overview.png"))
    assert len(found.samples) == 2
    assert "1 images directly in" in found.description


@pytest.mark.parametrize(
    "name", ["good", "OK", "Normal", "free", "defect-free", "DEFECT_FREE", "No Defect", "Gut"]
)
def test_names_meaning_good(name):
    assert meaning(name) == "good"


@pytest.mark.parametrize("name", ["not_good", "nok", "no_good", "goods", "bad", "", "abnormal"])
def test_names_not_meaning_good(name):
    assert meaning(name) != "good"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["notes.txt"], "no images in it"),
        (["masks/a/1.png"], "no images in it"),
        (
            ["cam1/1.png", "cam2/1.png"],
            r"cam1 \(1\), cam2 \(1\), and no folder .* means good. If all are: onlygood fit .* --all-good",
        ),
        (["1.png", "thumbs/1.png"], "cannot tell which images are good"),
        (["bottle/train/good/1.png", "cable/train/good/1.png"], "several data sets.*such as .*bottle"),
        (["train/a/1.png", "train/b/1.png", "test/good/1.png"], "none of its folders .* means good"),
        (["train/good/1.png", "test/1.png"], "images without a class"),
    ],
)
def test_folders_that_cannot_be_understood(tmp_path, files, words):
    with pytest.raises(OnlygoodError, match=words):
        discover(touch(tmp_path, *files))


def test_other_wrong_paths(tmp_path):
    touch(tmp_path, "one.png")
    for path, words in ((tmp_path / "none", "no such folder"), (tmp_path / "one.png", "is one image")):
        with pytest.raises(OnlygoodError, match=words):
            discover(path)
    with pytest.raises(OnlygoodError, match="holds no good images to train on"):
        discover(touch(tmp_path / "x", "bad/1.png"), "train")


def test_split_counts_are_exact_for_unique_images():
    hashes = [f"{i:04x}" for i in range(100)]
    parts = split_good(hashes, [60, 30], seed=0)
    assert [len(part) for part in parts] == [60, 30]
    assert not set(parts[0]) & set(parts[1])
    assert all((np.diff(part) > 0).all() for part in parts)


def test_split_knows_content_only():
    hashes = [f"{i % 40:04x}" for i in range(60)]
    order = np.random.default_rng(1).permutation(60)
    first = split_good(hashes, [30, 20], seed=3)
    second = split_good([hashes[i] for i in order], [30, 20], seed=3)
    for a, b in zip(first, second, strict=True):
        assert {hashes[i] for i in a} == {hashes[order[i]] for i in b}
    assert {hashes[i] for i in first[0]} != {hashes[i] for i in split_good(hashes, [30, 20], seed=4)[0]}


@given(
    st.lists(st.integers(0, 12), min_size=16, max_size=60),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.integers(0, 5),
)
def test_split_properties(contents, counts, seed):
    hashes = [str(content) for content in contents]
    largest = max(contents.count(content) for content in contents)
    if len(set(contents)) < len(contents):
        try:
            parts = split_good(hashes, counts, seed)
        except OnlygoodError:  # too few different images
            return
    else:
        parts = split_good(hashes, counts, seed)
    homes = [{hashes[i] for i in part} for part in parts]
    assert len(parts) == len(counts)
    assert all(len(part) for part in parts)
    assert sum(map(len, homes)) == len(set().union(*homes))  # no content in two parts
    assert all(abs(len(part) - count) < largest for part, count in zip(parts, counts, strict=True))


def test_split_uses_every_image_when_the_counts_add_up():
    hashes = ["a"] * 6 + ["b"] * 6 + ["c"] * 6 + ["d"]
    parts = split_good(hashes, [10, 9], seed=0)
    assert sorted(np.concatenate(parts)) == list(range(19))


def test_split_refuses_what_cannot_be_met():
    with pytest.raises(OnlygoodError, match="too few to split into 3 \\+ 2"):
        split_good(["a"] * 4, [3, 2], 0)
    with pytest.raises(OnlygoodError, match="only 1 different ones"):
        split_good(["a"] * 5, [3, 2], 0)
    with pytest.raises(OnlygoodError, match="at least one image"):
        split_good(["a"] * 5, [3, 0], 0)
