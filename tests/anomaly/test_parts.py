"""Who is learned from and who is held out, also where a training goes on with another wish."""

import json
from pathlib import Path

import numpy as np
import pytest

from onlygood.anomaly.data.samples import Dataset, Sample
from onlygood.anomaly.parts import SPLIT_FILE, Parts, choose_parts
from onlygood.anomaly.recipe import Recipe
from onlygood.pretrain.training.checkpoint import FILE_NAME
from onlygood.runtime.errors import OnlygoodError

RECIPE = Recipe()


class Names:
    """As much of an image store as a split looks at."""

    def __init__(self, count: int, hashes: list[str] | None = None) -> None:
        self.paths = [Path(f"{index:03}.png") for index in range(count)]
        self.hashes = hashes or [f"hash {index}" for index in range(count)]
        self.duplicates = [self.paths[:2]]

    def __len__(self) -> int:
        return len(self.paths)


def dataset(store: Names, groups: list[str] | None = None) -> Dataset:
    names = groups or [""] * len(store)
    samples = [Sample(path, 0, group=group) for path, group in zip(store.paths, names, strict=True)]
    return Dataset(tuple(samples), "flat", "", Path())


def choose(
    work: Path,
    store: Names,
    rate: float | None = None,
    *,
    resume: bool = False,
    words: list[str] | None = None,
    groups: list[str] | None = None,
) -> Parts:
    said = [] if words is None else words
    return choose_parts(
        RECIPE,
        dataset(store, groups),
        store,
        work,
        rate=rate,
        resume=resume,
        say=said.append,  # type: ignore[arg-type]
    )


def same(one: Parts, other: Parts) -> bool:
    return np.array_equal(one.train, other.train) and np.array_equal(one.calibration, other.calibration)


def test_a_training_that_goes_on_keeps_its_parts_at_any_rate(tmp_path: Path) -> None:
    store = Names(500)
    began = choose(tmp_path, store, 0.05)
    (tmp_path / FILE_NAME).touch()
    assert not same(began, choose(tmp_path / "new", store, 0.01))  # which would hold out others
    for rate, expected in ((0.01, 0.01), (0.3, 0.3), (None, 0.05)):
        words: list[str] = []
        again = choose(tmp_path, store, rate, resume=True, words=words)
        assert same(began, again)
        assert again.rate == expected
        assert "as when the training began" in words[0]
        assert f"{expected:g} false alarms" in words[0]


def test_a_rate_that_the_held_out_cannot_promise_says_what_to_do(tmp_path: Path) -> None:
    store = Names(500)
    began = choose(tmp_path, store, 0.1)
    (tmp_path / FILE_NAME).touch()
    with pytest.raises(OnlygoodError) as caught:
        choose(tmp_path, store, 0.001, resume=True)
    message = str(caught.value)
    assert message.startswith("--max-false-alarms 0.001 needs 999 images held out, and the training")
    assert f"began at 0.1 and holds out {len(began.calibration)}" in message
    offered = float(message.partition(" or more")[0].rpartition(" ")[2])
    assert same(began, choose(tmp_path, store, offered, resume=True))


def test_only_what_is_unfinished_is_gone_on_with(tmp_path: Path) -> None:
    """A finished training left its list and no checkpoint: the next one chooses anew."""
    store = Names(500)
    choose(tmp_path, store, 0.1)
    again = choose(tmp_path, store, 0.01, resume=True)
    assert same(again, choose(tmp_path / "new", store, 0.01))
    kept = json.loads((tmp_path / SPLIT_FILE).read_text())
    assert kept["rate"] == 0.01
    assert kept["train"] == [store.hashes[i] for i in again.train]


@pytest.mark.parametrize("damage", ["absent", "torn", "other images", "of an older version"])
def test_what_cannot_be_kept_is_chosen_anew_and_the_list_stays(tmp_path: Path, damage: str) -> None:
    """The checkpoint then refuses, and says what differs."""
    store, file = Names(300), tmp_path / SPLIT_FILE
    choose(tmp_path, store, 0.1)
    (tmp_path / FILE_NAME).touch()
    match damage:
        case "absent":
            file.unlink()
        case "torn":
            file.write_text(file.read_text()[:-9])
        case "other images":
            store = Names(300, [f"other {index}" for index in range(300)])
        case "of an older version":
            file.write_text(json.dumps({"train": store.hashes[:200], "calibration": store.hashes[200:]}))
    before = file.read_text() if file.exists() else None
    words: list[str] = []
    found = choose(tmp_path, store, 0.01, resume=True, words=words)
    assert same(found, choose(tmp_path / "new", store, 0.01))
    assert "as when" not in words[0]
    assert (file.read_text() if file.exists() else None) == before


def test_copies_count_once_and_groups_stay_together(tmp_path: Path) -> None:
    hashes = ["hash 0", *[f"hash {index}" for index in range(59)]]  # the first two are copies
    words: list[str] = []
    groups = ["", "", *[f"part {index // 4}" for index in range(58)]]
    parts = choose(tmp_path, Names(60, hashes), 0.3, words=words, groups=groups)
    assert "1 copies of other images (equal pixels), such as 001.png, are left out" in words
    assert len({*parts.train.tolist(), *parts.calibration.tolist()} & {0, 1}) <= 1
    trained, held_out = ({parts.name_of[i] for i in ids} for ids in (parts.train, parts.calibration))
    assert not trained & held_out
    numbers = parts.groups()
    assert numbers is not None
    assert len(numbers) == len(parts.calibration)
    assert len(set(numbers)) == len(held_out)
    for one, other in zip(numbers, parts.calibration, strict=True):
        same_part = [parts.name_of[i] == parts.name_of[other] for i in parts.calibration]
        assert same_part == [number == one for number in numbers]


def test_images_without_groups_have_no_numbers(tmp_path: Path) -> None:
    assert choose(tmp_path, Names(60), 0.2).groups() is None


def test_a_training_that_goes_on_counts_parts(tmp_path: Path) -> None:
    store, groups = Names(120), [f"part {index // 4}" for index in range(120)]
    began = choose(tmp_path, store, 0.2, groups=groups)
    (tmp_path / FILE_NAME).touch()
    held_out = len({began.name_of[i] for i in began.calibration})
    with pytest.raises(OnlygoodError, match=rf"needs 49 parts held out.* holds out {held_out}:"):
        choose(tmp_path, store, 0.02, resume=True, groups=groups)
    assert same(began, choose(tmp_path, store, 0.3, resume=True, groups=groups))


def test_parts_that_are_named_only_later_are_split_anew(tmp_path: Path) -> None:
    """The old split has images of one part on both sides: the promise would not hold."""
    store, groups = Names(120), [f"part {index // 4}" for index in range(120)]
    choose(tmp_path, store, 0.2)
    (tmp_path / FILE_NAME).touch()
    again = choose(tmp_path, store, 0.2, resume=True, groups=groups)
    assert same(again, choose(tmp_path / "new", store, 0.2, groups=groups))
