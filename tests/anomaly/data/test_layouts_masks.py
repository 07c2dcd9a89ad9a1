"""Masks against names: an image whose mask marks something is not good, wherever the mask lies."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_files import rows

from onlygood.anomaly.data.datasets import Dataset, discover
from onlygood.anomaly.data.mask_files import pair
from onlygood.anomaly.data.masks import Mask, read_mask
from onlygood.anomaly.data.names import image_stems
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import mark_output

Put = Callable[..., None]
EMPTY, MARKS = np.zeros((16, 16), np.uint8), np.eye(16, dtype=np.uint8) * 255


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Write files of one kind: photographs, empty masks or masks that mark something."""
    rng = np.random.default_rng(0)

    def write(kind: str, *names: str) -> None:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = {"photo": rng.integers(0, 255, (16, 16), np.uint8), "empty": EMPTY, "marks": MARKS}[kind]
            Image.fromarray(pixels).save(path)

    return write


def labels(found: Dataset) -> dict[str, int]:
    return {name: label for name, label, _, _ in rows(found)}


@pytest.mark.parametrize(
    "suffix",
    [
        "_mask",
        "_label",
        "_GT",
        "_gt",
        "_seg",
        "_Mask",
        "-mask",
        " mask",
        ".mask",
        "_ground_truth",
        "_mask_1",
        "_labels",
    ],
)
@pytest.mark.parametrize("ending", ["png", "bmp", "jpg"])
def test_masks_beside_flat_images(tmp_path: Path, put: Put, suffix: str, ending: str) -> None:
    put("photo", "Part1.jpg", "Part2.jpg", "Part3.jpg", f"lonely{suffix}.jpg")
    put("empty", f"Part1{suffix}.{ending}")
    put("marks", f"Part2{suffix}.{ending}")
    found = discover(tmp_path)
    lonely = f"lonely{suffix}.jpg"  # the name alone makes no mask
    assert labels(found) == {"Part1.jpg": 0, "Part2.jpg": 1, "Part3.jpg": 0, lonely: 0}
    assert [sample.mask for sample in found.samples if sample.label] == [tmp_path / f"Part2{suffix}.{ending}"]
    assert "1 of 4 images have a mask that is not empty: taken as anomalous" in found.description
    assert sorted(labels(discover(tmp_path, "train"))) == sorted({"Part1.jpg", "Part3.jpg", lonely})


def test_twelve_of_forty(tmp_path: Path, put: Put) -> None:
    put("photo", *(f"images/{i}.png" for i in range(40)))
    put("empty", *(f"masks/{i}.png" for i in range(28)))
    put("marks", *(f"masks/{i}.png" for i in range(28, 40)))
    for root in (tmp_path, tmp_path / "images"):
        learned, found = discover(root, "train"), discover(root)
        assert sorted(int(sample.path.stem) for sample in learned.samples) == list(range(28))
        assert sum(sample.label for sample in found.samples) == 12
        words = "12 of 40 images have a mask that is not empty: taken as anomalous"
        assert words in learned.description
        assert words in found.description


@pytest.mark.parametrize(
    "folder",
    ["masks", "ground_truth", "GT", "labels", "annotations", "SegmentationClass", "label", "Segmentation"],
)
def test_folders_of_masks_are_no_defects(tmp_path: Path, put: Put, folder: str) -> None:
    put("photo", "good/1.png", "good/2.png", "scratch/3.png")
    put("empty", f"{folder}/good/1.png")
    put("marks", f"{folder}/good/2.png", f"{folder}/scratch/3.png")
    found = discover(tmp_path)
    assert rows(found) == [
        ("good/1.png", 0, "good", None),
        ("good/2.png", 1, "anomalous", f"{folder}/good/2.png"),
        ("scratch/3.png", 1, "scratch", f"{folder}/scratch/3.png"),
    ]
    assert "though they are called good" in found.description


def test_masks_of_nothing_are_said(tmp_path: Path, put: Put) -> None:
    put("photo", "good/1.png", "scratch/2.png")
    put("marks", "labels/x.png", "labels/y.png")
    found = discover(tmp_path)
    assert len(found.samples) == 2
    assert "2 masks belong to none of these images, or to several (in labels, left out)" in found.description


@pytest.mark.parametrize("name", ["label", "mask"])
def test_a_kind_of_defect_called_label_stays_one(tmp_path: Path, put: Put, name: str) -> None:
    put("photo", "train/good/000.png", "test/good/001.png", f"test/{name}/000.png", f"test/{name}/001.png")
    found = discover(tmp_path, "test")
    assert [row[2] for row in rows(found)] == ["good", name, name]
    assert f"{name} is taken as a class: its pictures look like photographs, not masks" in found.description


def test_looking_at_masks_is_bounded(tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of bad images' masks a few are opened, whether one folder holds all of them or each has its own."""
    put("photo", "good/1.png", *(f"bad/{i}/images/{i}.png" for i in range(40)))
    put("marks", *(f"bad/{i}/masks/{i}.png" for i in range(40)))
    opened = []

    def count(path: Path) -> Mask:
        opened.append(path)
        return read_mask(path)

    monkeypatch.setattr("onlygood.anomaly.data.mask_files.read_mask", count)
    assert sum(sample.mask is not None for sample in discover(tmp_path).samples) == 40
    assert 0 < len(opened) <= 8


def test_masks_of_the_part_itself_leave_nothing_and_that_is_explained(tmp_path: Path, put: Put) -> None:
    put("photo", "images/1.png", "images/2.png")
    put("marks", "masks/1.png", "masks/2.png")
    with pytest.raises(OnlygoodError, match=r"no good images to train on; 2 of 2 .* move them elsewhere"):
        discover(tmp_path, "train")


def test_photographs_named_like_masks_stay_images(tmp_path: Path, put: Put) -> None:
    put("photo", "bottle1.jpg", "bottle1_label.jpg", "bottle2.jpg", "bottle2_label.jpg")
    found = discover(tmp_path)
    assert len(found.samples) == 4
    assert "bottle1_label.jpg and the like are taken as images" in found.description


def test_visa(tmp_path: Path, put: Put) -> None:
    put("photo", "Data/Images/Normal/0000.JPG", "Data/Images/Anomaly/000.JPG", "Data/Images/Normal/000.JPG")
    put("marks", "Data/Masks/Anomaly/000.png")
    found = discover(tmp_path)
    assert labels(found) == {
        "Images/Anomaly/000.JPG": 1,
        "Images/Normal/000.JPG": 0,
        "Images/Normal/0000.JPG": 0,
    }
    assert [sample.mask for sample in found.samples if sample.label] == [
        tmp_path / "Data/Masks/Anomaly/000.png"
    ]


def test_kolektor(tmp_path: Path, put: Put) -> None:
    for item in ("kos01", "kos02"):
        put("photo", f"{item}/Part0.jpg", f"{item}/Part1.jpg")
        put("empty", f"{item}/Part0_label.bmp")
        put("marks", f"{item}/Part1_label.bmp")
    found = discover(tmp_path)
    assert found.layout == "masks"
    assert [row[1] for row in rows(found)] == [0, 1, 0, 1]
    (tmp_path / "kos02/Part0_label.bmp").unlink()
    with pytest.raises(OnlygoodError, match="cannot tell which images are good"):
        discover(tmp_path)
    assert [row[1] for row in rows(discover(tmp_path, all_good=True))] == [0, 1, 0, 1]


def test_magnetic_tiles_as_published(tmp_path: Path, put: Put) -> None:
    """The same name, another ending: X.jpg and X.png."""
    for kind, mask in (("MT_Free", "empty"), ("MT_Crack", "marks")):
        put("photo", *(f"{kind}/Imgs/{i}.jpg" for i in range(3)))
        put(mask, *(f"{kind}/Imgs/{i}.png" for i in range(3)))
    found = discover(tmp_path)
    assert {name for name, label in labels(found).items() if label} == {
        f"MT_Crack/Imgs/{i}.jpg" for i in range(3)
    }
    assert len(found.samples) == 6
    put("photo", "two/a.jpg", "two/a.png")  # one photograph saved twice
    assert len(discover(tmp_path / "two").samples) == 2


def test_dagm(tmp_path: Path, put: Put) -> None:
    put("photo", "Train/1.PNG", "Train/2.PNG", "Test/1.PNG", "Test/2.PNG")
    put("marks", "Train/Label/2_label.PNG", "Test/Label/1_label.PNG")
    assert labels(discover(tmp_path, "train")) == {"Train/1.PNG": 0}
    assert labels(discover(tmp_path, "test")) == {"Test/1.PNG": 1, "Test/2.PNG": 0}


def test_a_marked_training_image_is_not_learned_from(tmp_path: Path, put: Put) -> None:
    put("photo", "train/good/0.png", "train/good/1.png", "test/good/0.png", "test/crack/1.png")
    put("marks", "train/masks/good/1.png", "ground_truth/crack/1_mask.png")
    assert labels(discover(tmp_path, "train")) == {"train/good/0.png": 0}
    assert "1 of 2 images have a mask that is not empty" in discover(tmp_path, "train").description
    assert [row[3] for row in rows(discover(tmp_path, "test")) if row[1]] == ["ground_truth/crack/1_mask.png"]


def test_train_and_test_hold_images_and_masks(tmp_path: Path, put: Put) -> None:
    put("photo", "train/images/0.png", "train/images/1.png", "test/images/0.png", "test/images/1.png")
    put("empty", "train/masks/0.png", "test/masks/0.png")
    put("marks", "train/masks/1.png", "test/masks/1.png")
    assert labels(discover(tmp_path, "train")) == {"train/images/0.png": 0}
    assert labels(discover(tmp_path, "test")) == {"test/images/0.png": 0, "test/images/1.png": 1}


def test_a_folder_of_masks_for_each_image(tmp_path: Path, put: Put) -> None:
    put("photo", "test/good/0.png", "test/logical/1.png")
    put("marks", "ground_truth/logical/1/000.png", "ground_truth/logical/1/001.png")
    found = discover(tmp_path / "test")
    assert [sample.label for sample in found.samples] == [0, 1]
    assert found.samples[1].mask == tmp_path / "ground_truth/logical/1/000.png"


@pytest.mark.parametrize("mask", ["images/1_mask.png", "masks/1.png"])
def test_a_mask_belongs_to_each_copy_of_its_image(tmp_path: Path, put: Put, mask: str) -> None:
    put("photo", "images/1.png", "images/1.jpg", "images/2.png")
    put("marks", mask)
    assert labels(discover(tmp_path)) == {"images/1.jpg": 1, "images/1.png": 1, "images/2.png": 0}


def test_of_several_masks_the_first_that_marks_something_counts(tmp_path: Path, put: Put) -> None:
    put("photo", "a.png", "b.png")
    put("empty", "a_mask_1.png", "b_mask_1.png", "b_mask_2.png")
    put("marks", "a_mask_2.png")
    found = discover(tmp_path)
    assert rows(found) == [("a.png", 1, "anomalous", "a_mask_2.png"), ("b.png", 0, "good", None)]
    assert "2 images have several masks" in found.description


def test_masks_that_cannot_be_read_are_said(tmp_path: Path, put: Put) -> None:
    put("photo", "flat/1.png", "flat/2.png", "named/good/1.png", "named/bad/2.png")
    for name in ("flat/2_mask.png", "named/good/1_mask.png"):
        (tmp_path / name).write_bytes(b"no image")
    flat, named = discover(tmp_path / "flat"), discover(tmp_path / "named")
    assert labels(flat) == {"1.png": 0}  # nothing else could tell
    assert "1 masks of good images are not used, such as mask" in flat.description
    assert "1 images are left out, for only these masks could tell" in flat.description
    assert labels(named) == {"bad/2.png": 1, "good/1.png": 0}
    assert "1 masks of good images are not used" in named.description


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_masks_match_however_accents_are_composed(tmp_path: Path, put: Put, form: str) -> None:
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    image, mask = unicodedata.normalize(form, "é/ü"), unicodedata.normalize(other, "é/ü")
    put("photo", "good/1.png", f"{image}.png", unicodedata.normalize(form, "flat/å.png"))
    put("marks", f"masks/{mask}.png", unicodedata.normalize(other, "flat/å_mask.png"))
    assert sum(sample.mask is not None for sample in discover(tmp_path).samples) == 2
    assert [row[1] for row in rows(discover(tmp_path / "flat"))] == [1]


def test_kinds_of_defects_are_one_however_accents_are_composed(tmp_path: Path, put: Put) -> None:
    put("photo", "train/good/1.png", "test/good/1.png", "bad/1.png")
    for form in ("NFC", "NFD"):
        put("photo", unicodedata.normalize(form, f"test/fêlé/{form}.png"))
    (tmp_path / "l.csv").write_text("path,label,defect\nbad/1.png,1,fe\u0302le\u0301\n", encoding="utf-8")
    for found in (discover(tmp_path, "test"), discover(tmp_path / "l.csv")):
        kinds = {sample.defect for sample in found.samples if sample.label}
        assert kinds == {unicodedata.normalize("NFC", "fêlé")}


def test_masks_beside_a_folder_of_bad_images(tmp_path: Path, put: Put) -> None:
    put("photo", "d/good/1.png", "d/defective/1.png")
    put("marks", "d/masks/defective/1.png")
    (sample,) = discover(tmp_path / "d/defective").samples
    assert sample.mask == tmp_path / "d/masks/defective/1.png"


def test_what_onlygood_wrote_is_no_class_and_said(tmp_path: Path, put: Put) -> None:
    put("photo", "good/1.png", "bad/2.png")
    mark_output(tmp_path / "report 13", "report")
    put("photo", "report 13/roc.png", "report 13/overlays/1.png")
    found = discover(tmp_path)
    assert [row[2] for row in rows(found)] == ["bad", "good"]
    assert "left out, since onlygood wrote it: " in found.description


# --- what is good by its name


def test_a_root_that_means_good_is_all_good(
    tmp_path: Path, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("photo", "parts/good/day1/1.png", "parts/good/day2/2.png", "parts/good/3.png")
    expected = {"day1/1.png": 0, "day2/2.png": 0, "3.png": 0}
    assert labels(discover(tmp_path / "parts/good", "train")) == expected
    monkeypatch.chdir(tmp_path / "parts/good")
    assert labels(discover(".", "train")) == expected
    (tmp_path / "parts/good/3.png").unlink()
    (tmp_path / "parts/good/day2/2.png").rename(tmp_path / "parts/good/day1/2.png")
    assert len(discover(tmp_path / "parts/good", "train").samples) == 2
    put("photo", "parts/good/rejects/4.png", "parts/good/bad/5.png")
    found = discover(tmp_path / "parts/good")
    assert {name for name, label in labels(found).items() if label} == {"bad/5.png"}
    assert "1 images lie in a folder that means bad inside of one that means good" in found.description


def test_bad_inside_of_good_is_not_learned_from(tmp_path: Path, put: Put) -> None:
    put("photo", "good/1.png", "good/NG/2.png", "bad/3.png")
    assert labels(discover(tmp_path, "train")) == {"good/1.png": 0}
    assert "inside of one that means good, such as" in discover(tmp_path).description


@pytest.mark.parametrize("inner", ["", "scratch/", "day1/images/"])
def test_a_root_that_means_bad_is_never_good(tmp_path: Path, put: Put, inner: str) -> None:
    put("photo", f"bad/{inner}1.png")
    assert [row[1] for row in rows(discover(tmp_path / "bad"))] == [1]
    with pytest.raises(OnlygoodError, match="holds no good images to train on"):
        discover(tmp_path / "bad", "train")


def test_one_kind_of_defect_alone_in_test_is_no_folder_around_the_data(tmp_path: Path, put: Put) -> None:
    put("photo", "test/dent/1.png")
    assert [row[1:3] for row in rows(discover(tmp_path / "test"))] == [(1, "dent")]


def test_folders_of_equal_standing_are_good_on_request(tmp_path: Path, put: Put) -> None:
    put("photo", "cam1/1.png", "cam2/2.png", "3.png", "NOK/4.png")
    found = discover(tmp_path, "train", all_good=True)
    assert labels(found) == {"3.png": 0, "cam1/1.png": 0, "cam2/2.png": 0}
    put("photo", "divided/train/a/1.png", "divided/train/b/2.png", "divided/test/good/3.png")
    with pytest.raises(OnlygoodError, match="--all-good"):
        discover(tmp_path / "divided", "train")
    assert len(discover(tmp_path / "divided", "train", all_good=True).samples) == 2


NAMES = st.sampled_from(["a", "b", "good", "bad", "masks", "labels", "images", "test", "train"])
FILES = st.sampled_from(["1.png", "1.jpg", "2.png", "1_mask.png", "2_GT.bmp", "mask_1.png"])


@given(
    st.sets(
        st.tuples(st.lists(NAMES, max_size=3), FILES).map(lambda two: "/".join([*two[0], two[1]])), min_size=1
    )
)
def test_every_file_is_an_image_a_mask_or_counted(names: set[str]) -> None:
    home = Path("/nowhere")
    files = [home / name for name in sorted(names)]
    pairs = pair(files, home)
    masks = {mask for several in pairs.masks.values() for mask in several}
    assert not masks & set(pairs.images)
    assert set(pairs.masks) <= set(pairs.images)
    idle = sum(int(note.split()[0]) for note in pairs.notes if "belong to none" in note)
    assert len(pairs.images) + len(masks) + idle == len(files)
    again = pair(files[::-1], home)  # whatever the order
    assert (again.images, {i: sorted(m) for i, m in again.masks.items()}) == (
        pairs.images,
        {i: sorted(m) for i, m in pairs.masks.items()},
    )


@pytest.mark.parametrize(
    ("name", "stems"),
    [
        ("X_mask", ["X"]),
        ("X_label_03", ["X"]),
        ("X-GT", ["X"]),
        ("mask_X", ["X"]),
        ("X.jpg_mask", ["X.jpg", "X"]),
        ("X", []),
        ("_mask", []),
        ("unmask", []),
        ("label", []),
    ],
)
def test_stems_of_masks(name: str, stems: list[str]) -> None:
    assert image_stems(name) == stems
