"""Parts that file names tell, if the user says so, and those that they look like."""

from pathlib import Path

import pytest

from onlygood.anomaly.data.groups import grouped, propose
from onlygood.anomaly.data.samples import Dataset, Sample
from onlygood.runtime.errors import OnlygoodError

KOLEKTOR = [f"good/kos{part:02}_Part{view}.jpg" for part in range(35) for view in range(8)]
TILES = [f"normal/exp{view}_num_{100 * part + view}.jpg" for part in range(60) for view in range(6)]
LETTERED = [f"part{part:03}_{view}.png" for part in range(20) for view in "abcd"]
FOLDERS = [f"bolt{part}/{view}.png" for part in range(12) for view in range(5)]


def dataset(names: list[str], root: Path, group: str = "") -> Dataset:
    return Dataset(tuple(Sample(root / name, 0, group=group) for name in names), "flat", "", root)


@pytest.mark.parametrize(
    ("names", "pattern", "parts"),
    [(KOLEKTOR, r"kos\d+", 35), (LETTERED, r"part\d+", 20), (FOLDERS, r"bolt\d+", 12)],
)
def test_names_that_look_like_parts(tmp_path: Path, names: list[str], pattern: str, parts: int) -> None:
    found = propose(names)
    assert found is not None
    assert (found.pattern, found.parts, found.images) == (pattern, parts, len(names))
    assert f"{parts} parts of about {len(names) // parts} images" in found.words()
    assert f"--groups '{pattern}'" in found.words()
    groups = {sample.group for sample in grouped(dataset(names, tmp_path), found.pattern).samples}
    assert len(groups) == parts


@pytest.mark.parametrize(
    "names",
    [
        TILES,  # six exposures: their numbers are not those of parts
        [f"{index:03}.png" for index in range(200)],
        [f"img_{index}.png" for index in range(200)],
        [f"cast_ok_0_{index}.jpeg" for index in range(200)],
        [f"part{index}_a.png" for index in range(200)],  # each once
        [f"line{index % 3}_{index}.png" for index in range(200)],  # three lines, not parts
        [f"cam{index % 9}/{index}.png" for index in range(200)],
    ],
)
def test_names_that_do_not(names: list[str]) -> None:
    assert propose(names) is None


def test_the_first_group_of_a_pattern_or_all_of_it(tmp_path: Path) -> None:
    names = ["a/x1_1.png", "a/x1_2.png", "b/x2_1.png", "b/other.png"]
    for pattern, expected in (
        (r"x\d", ["x1", "x1", "x2", ""]),
        (r"x(\d)_", ["1", "1", "2", ""]),
        (r"^[ab]", ["a", "a", "b", "b"]),
    ):
        assert [sample.group for sample in grouped(dataset(names, tmp_path), pattern).samples] == expected


@pytest.mark.parametrize(("pattern", "words"), [("(", "not a regular expression"), ("kos", "matches none")])
def test_patterns_that_find_nothing(tmp_path: Path, pattern: str, words: str) -> None:
    with pytest.raises(OnlygoodError, match=words):
        grouped(dataset(["a.png"], tmp_path), pattern)


def test_a_list_that_names_groups_has_said_it(tmp_path: Path) -> None:
    with pytest.raises(OnlygoodError, match="names groups already"):
        grouped(dataset(["a1.png"], tmp_path, group="7"), r"a\d")
