"""List files: what their labels, splits and masks mean, and what is refused."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_files import rows, touch

from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.data.lists import _label
from onlygood.runtime.errors import OnlygoodError


def test_list_of_paths_is_relative_to_its_folder(tmp_path):
    touch(tmp_path, "a b.png", "sub/c.png")
    listing = tmp_path / "list.txt"
    listing.write_text(f"a b.png\r\n\n{tmp_path / 'sub/c.png'}\nmissing.png\n")
    found = discover(listing)
    assert found.layout == "list"
    assert [s.path for s in found.samples] == [
        tmp_path / "a b.png",
        tmp_path / "missing.png",
        tmp_path / "sub/c.png",
    ]
    assert "1 of them do not exist" in found.description


def test_csv_labels_defects_and_masks(tmp_path):
    touch(tmp_path, "1.png")
    listing = tmp_path / "data.csv"
    listing.write_text(
        "\ufeffpath,label,defect,mask,camera\n1.png,0,,,a\n2.png,1,,,a\n3.png,1,dent,m.png,a\n"
        '"4,5.png",crack,Crack,,b\n6.png,Good,good,none,b\n7.png,anomalous,,,b\n'
    )
    assert rows(discover(listing)) == [
        ("1.png", 0, "good", None),
        ("2.png", 1, "anomalous", None),
        ("3.png", 1, "dent", "m.png"),
        ("4,5.png", 1, "Crack", None),
        ("6.png", 0, "good", None),
        ("7.png", 1, "anomalous", None),
    ]
    assert [row[0] for row in rows(discover(listing, "train"))] == ["1.png", "6.png"]


def test_semicolon_csv(tmp_path):
    touch(tmp_path, "1.png")
    (tmp_path / "d.csv").write_text("label;path;defect\n1;1.png;dent\n")
    assert rows(discover(tmp_path / "d.csv")) == [("1.png", 1, "dent", None)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "first line must name"),
        ("path,label\n", "empty"),
        ("file,class\n1.png,0\n", "first line must name the columns path,label"),
        ("path,label\n1.png\n", "line 2: 1 columns where the header names 2"),
        ("path,label\n1.png,\n", "line 2: path and label must not be empty"),
        ("path,label,defect\n1.png,good,dent\n", "line 2: .* means good, but the defect is 'dent'"),
        ("path,label,defect\n1.png,1,good\n", "line 2: .* means anomalous"),
        ("path,label\nnowhere.png,0\n", "none of its 1 files exists"),
    ],
)
def test_csv_errors_name_the_line(tmp_path, text, words):
    touch(tmp_path, "1.png")
    (tmp_path / "d.csv").write_text(text)
    with pytest.raises(OnlygoodError, match=words):
        discover(tmp_path / "d.csv")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_labels_as_programs_write_them(tmp_path, end, delimiter):
    labels = (
        ["0", "0.0", "False", "FALSE", "OK", "io", "good"],
        ["1", "1.0", "True", "true", "NG", "nok", "Bad"],
    )
    lines = ['\ufeff"path",Label']
    for kind, names in zip("gb", labels, strict=True):
        for index, name in enumerate(names):
            lines.append(f"{kind}{index}.png,{name}")
            touch(tmp_path, f"{kind}{index}.png")
    (tmp_path / "d.csv").write_bytes(end.join(lines).replace(",", delimiter).encode())
    found = discover(tmp_path / "d.csv").samples
    assert [sample.label for sample in found] == [int(sample.path.name[0] == "b") for sample in found]
    assert {sample.defect for sample in found} == {"good", "anomalous"}


def test_all_unknown_labels_are_listed_and_none_is_a_defect(tmp_path):
    touch(tmp_path, "1.png")
    (tmp_path / "d.csv").write_text(
        "path,label\n1.png,good\n2.png,godo\n3.png,crack\n4.png,crack\n5.png,-1\n"
    )
    with pytest.raises(OnlygoodError) as caught:
        discover(tmp_path / "d.csv")
    message = str(caught.value)
    assert (
        "unknown labels 'crack' (2), 'godo' (1), '-1' (1); understood are 0, 0.0, False, good, OK" in message
    )
    assert "a column defect, beside the label 1" in message


@given(st.text(max_size=12))
def test_no_label_but_0_1_and_known_words_is_understood(text):
    label = _label(text)
    assert label in (None, 0, 1)
    if label is not None:
        assert label == _label(f" {text.upper()} ".strip())


def test_split_is_honored(tmp_path):
    splits = ["train", "Training", "TEST", "test", "val", "train"]
    labels = ["good", "good", "good", "bad", "good", "bad"]
    lines = [f"{i}.png,{label},{split}" for i, (label, split) in enumerate(zip(labels, splits, strict=True))]
    touch(tmp_path, *(f"{i}.png" for i in range(6)))
    (tmp_path / "d.csv").write_text("\n".join(["path,label,split", *lines]))
    names = {
        part: [row[0] for row in rows(discover(tmp_path / "d.csv", part))]
        for part in ("train", "test", "all")
    }
    assert names == {
        "train": ["0.png", "1.png"],
        "test": ["2.png", "3.png"],
        "all": ["0.png", "1.png", "2.png", "3.png", "5.png"],
    }
    assert "1 for validation are left out" in discover(tmp_path / "d.csv", "train").description


def test_validation_rows_are_tested_on_where_there_are_no_others(tmp_path):
    touch(tmp_path, "0.png", "1.png")
    (tmp_path / "d.csv").write_text("path,label,split\n0.png,0,train\n1.png,0,valid\n")
    assert [row[0] for row in rows(discover(tmp_path / "d.csv", "train"))] == ["0.png"]
    assert [row[0] for row in rows(discover(tmp_path / "d.csv", "test"))] == ["1.png"]


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        (
            ["train", "holdout", "holdout", ""],
            r"holds 'holdout' \(2\), '' \(1\); understood are train, test and val",
        ),
        (["test", "test", "test", "test"], "holds no good images to train on"),
    ],
)
def test_splits_that_leave_nothing_sure_are_refused(tmp_path, splits, words):
    touch(tmp_path, *(f"{i}.png" for i in range(4)))
    lines = [f"{i}.png,0,{split}" for i, split in enumerate(splits)]
    (tmp_path / "d.csv").write_text("\n".join(["path,label,split", *lines]))
    with pytest.raises(OnlygoodError, match=words):
        discover(tmp_path / "d.csv", "train")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_lists_find_images_and_masks_however_accents_are_composed(tmp_path, form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    disk, listed = (unicodedata.normalize(kind, "größe/schön.png") for kind in (form, other))
    touch(tmp_path, disk, disk.replace(".png", ".bmp"))
    (tmp_path / "d.csv").write_text(
        f"path,label,mask\n{listed},1,{listed.replace('.png', '.bmp')}\n", "utf-8"
    )
    (sample,) = discover(tmp_path / "d.csv").samples
    assert sample.path == tmp_path / disk
    assert sample.mask == tmp_path / disk.replace(".png", ".bmp")
    (tmp_path / "list.txt").write_text(listed, "utf-8")
    assert discover(tmp_path / "list.txt").samples[0].path == tmp_path / disk


def test_names_may_hold_what_python_takes_for_line_ends(tmp_path):
    touch(tmp_path, "a\u2028b\x0cc.png")
    (tmp_path / "list.txt").write_text("a\u2028b\x0cc.png\n", "utf-8")
    assert [row[0] for row in rows(discover(tmp_path / "list.txt"))] == ["a\u2028b\x0cc.png"]


def test_masks_in_lists_are_no_images_and_contradict_good(tmp_path):
    for name, mark in (
        ("1.png", 0),
        ("1_mask.png", 0),
        ("2.png", 0),
        ("2_mask.png", 9),
        ("3.png", 0),
        ("m3.png", 9),
    ):
        Image.fromarray(np.eye(8, dtype=np.uint8) * mark).save(tmp_path / name)
    (tmp_path / "list.txt").write_text("1.png\n1_mask.png\n2.png\n2_mask.png\n3.png\n2.png\n")
    found = discover(tmp_path / "list.txt")
    assert {row[:2] for row in rows(found)} == {("1.png", 0), ("2.png", 1), ("3.png", 0)}
    assert [row[0] for row in rows(discover(tmp_path / "list.txt", "train"))] == ["1.png", "3.png"]
    (tmp_path / "d.csv").write_text("path,label,mask\n1.png,0,1_mask.png\n3.png,good,m3.png\n")
    found = discover(tmp_path / "d.csv")
    assert rows(found) == [("1.png", 0, "good", None), ("3.png", 1, "anomalous", "m3.png")]
    assert "1 of 2 images have a mask that is not empty: taken as anomalous, though they are called good" in (
        found.description
    )


def test_relative_and_absolute_paths_in_one_list(tmp_path, monkeypatch):
    touch(tmp_path, "a.png", "sub/b.png")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.txt").write_text(f"a.png\n{tmp_path / 'sub/b.png'}\n")
    assert len(discover("list.txt").samples) == 2
