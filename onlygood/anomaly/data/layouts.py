"""Folders of images: which are good, decided by the names of folders first, and then by masks.

========== ==========================================================================================
flat       images directly in the folder, or in one whose name means good: all are taken as good
good-bad   one folder that means good and one that does not
labelled   a folder that means good and one folder per defect type
mvtec      ``train/good``, ``test/good``, ``test/DEFECT``, ``ground_truth/DEFECT/NAME_mask.png``
masks      folders whose names say nothing, a mask for each image
========== ==========================================================================================

Folders called ``images`` and the like have no meaning and may be anywhere. Masks are never taken as images,
and an image whose mask marks something is not good, whatever the name of its folder.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onlygood.anomaly.data.mask_files import Pairs, pair
from onlygood.anomaly.data.names import composed, meaning, plain
from onlygood.anomaly.data.samples import Found, Sample, judged_by_masks, some
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import Findings, display, find_images
from onlygood.runtime.images.formats import READ_SUFFIXES

_PARTS = ("train", "test")


class UnclearFoldersError(OnlygoodError):
    """Nothing says which images are good; ``question`` asks the user whether all are."""

    def __init__(self, message: str, question: str) -> None:
        super().__init__(message)
        self.question = question


def from_folder(root: Path, *, all_good: bool = False) -> Found:
    """Read the folder ``root``; with ``all_good``, images in folders whose names say nothing are good.

    Raises:
        UnclearFoldersError: there are several folders, and nothing says which are good.
        OnlygoodError: there are no images, or the folders contradict each other.
    """
    findings = Findings()
    pairs = _told_apart(root, findings)
    notes = pairs.notes
    if findings.ours:
        notes += (f"left out, since onlygood wrote it: {some(map(display, findings.ours))}",)
    if others := findings.left_alone():
        notes += (others,)
    if not pairs.images:
        extra = "".join(f"; {note}" for note in notes)
        raise OnlygoodError(
            f"{display(root)}: no images in it{extra}; known endings are {' '.join(sorted(READ_SUFFIXES))}"
        )
    top, groups = _grouped(root, pairs.images)
    return _Tree(top, groups, pairs.masks, notes, all_good).found()


def _told_apart(root: Path, findings: Findings) -> Pairs:
    """Images below ``root``, and their masks, which may lie beside a root called train, test …."""
    files = [path for path in find_images([root], findings=findings) if path != root]  # root: not listable
    beside: list[Path] = []
    if root.name not in ("", "..") and (
        plain(root.name) in _PARTS or meaning(root.name) in ("images", "bad")
    ):
        siblings = sorted(child for child in root.parent.iterdir() if child.is_dir() and child != root)
        beside = list(find_images(child for child in siblings if meaning(child.name) == "mask"))
    if not beside:
        return pair(files, root)
    pairs = pair([*files, *beside], root.parent)
    images = [image for image in pairs.images if root in image.parents]
    return Pairs(images, pairs.masks, ())  # most masks there belong to other parts


def _grouped(root: Path, images: Sequence[Path]) -> tuple[Path, dict[str, list[Path]]]:
    """Images by the first folder below ``root`` whose name has a meaning; "" for those in no such folder.

    A single folder around the whole data set, as in archives, is entered.
    """
    groups: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        groups[next(iter(_classes(image, root)), "")].append(image)
    only = next(iter(groups)) if len(groups) == 1 else ""
    own = root.resolve().name
    says_it = meaning(own) in ("good", "bad") or plain(own) == "test"
    if only and meaning(only) == "" and plain(only) not in _PARTS and not says_it:
        return _grouped(_entered(root, images), images)
    return root, groups


def _entered(root: Path, images: Sequence[Path]) -> Path:
    """The folder inside ``root`` that has a meaning and holds all ``images``."""
    folder = images[0].relative_to(root).parts
    depth = next(depth for depth, name in enumerate(folder, 1) if meaning(name) != "images")
    return root.joinpath(*folder[:depth])


def _classes(image: Path, root: Path) -> tuple[str, ...]:
    """Names of the folders of an image below ``root`` that have a meaning."""
    return tuple(composed(name) for name in image.relative_to(root).parts[:-1] if meaning(name) != "images")


@dataclass(frozen=True)
class _Tree:
    """Images by the first folder below ``root`` that has a meaning, and their masks."""

    root: Path
    groups: dict[str, list[Path]]
    masks: dict[Path, list[Path]]
    notes: tuple[str, ...]
    all_good: bool

    def found(self) -> Found:
        by_name = {plain(name): name for name in self.groups}
        if set(_PARTS) <= set(by_name):
            return self._divided(by_name["train"], by_name["test"])
        kinds = {meaning(name) for name in self.groups if name}
        is_test = plain(self.root.resolve().name) == "test"
        if "good" in kinds or ("" not in self.groups and (kinds == {"bad"} or is_test)):
            return self._by_class()
        return self._as_a_whole()

    def _as_a_whole(self) -> Found:
        own = self.root.resolve().name
        if meaning(own) == "bad":
            samples = [
                Sample(image, 1, [*_classes(image, self.root), own][0]) for image in self._everything()
            ]
            return self._undivided("good-bad", "a folder whose name means anomalous", samples, named=True)
        samples = [self._good_unless_named_bad(image) for image in self._everything()]
        if list(self.groups) == [""]:
            told = "all taken as good" if not self.masks else "taken as good where no mask says otherwise"
            named = meaning(own) == "good" or self.all_good
            return self._undivided("flat", f"a flat folder, {told}", samples, named=named)
        if meaning(own) == "good":
            words = f"a folder that means good ({own}), with all folders in it"
            return self._undivided("flat", words, samples, named=True)
        if self.all_good:
            return self._undivided(
                "flat", "folders that are all taken as good, as asked", samples, named=True
            )
        if all(image in self.masks for image in self._everything()):
            return self._undivided("masks", "a mask for each image", samples, named=False)
        raise _unclear(self.root, self.groups)

    def _by_class(self) -> Found:
        images = [image for name in self.groups if name for image in self.groups[name]]
        samples = [self._labeled(image, self.root) for image in images]
        notes: tuple[str, ...] = ()
        if direct := self.groups.get(""):
            notes = (
                f"{len(direct)} images directly in {display(self.root)} belong to no class and are left out",
            )
        kind = "good-bad" if len({sample.defect for sample in samples if sample.label}) <= 1 else "labelled"
        words = "good and bad folders" if kind == "good-bad" else "a folder per defect type"
        return self._undivided(kind, words, samples, named=True, notes=notes)

    def _undivided(
        self, layout: str, words: str, samples: list[Sample], *, named: bool, notes: tuple[str, ...] = ()
    ) -> Found:
        judged, more = judged_by_masks(samples, self.masks, named=named)
        notes = (*notes, *self.notes, *more, *self._contradictions(self._everything()))
        labeled = named or bool(self.masks)
        return Found(self.root, layout, words, judged, judged, notes, labeled)

    def _divided(self, train: str, test: str) -> Found:
        learn, notes = self._train(self.root / train, self.groups[train])
        judge, more = self._test(self.root / test, self.groups[test])
        other = sorted(name or "images directly in it" for name in self.groups if name not in (train, test))
        left_out = (f"left out: {some(other)}",) if other else ()
        against = self._contradictions([*self.groups[train], *self.groups[test]])
        notes = (*self.notes, *notes, *more, *against, *left_out)
        return Found(self.root, "mvtec", "an MVTec-style tree (train/ and test/)", learn, judge, notes)

    def _train(self, top: Path, images: list[Path]) -> tuple[list[Sample], tuple[str, ...]]:
        below = {name for image in images for name in _classes(image, top)[:1]}
        named = any(meaning(name) == "good" for name in below)
        if below and not named and not self.all_good and not all(image in self.masks for image in images):
            raise UnclearFoldersError(
                f"{display(top)}: none of its folders ({some(below)}) means good; rename the one of good "
                "images to good or, if all are good, add --all-good to `onlygood fit`",
                f"{display(top)} holds the folders {some(below)}, and none means good. Are all images good?",
            )
        samples = [
            self._labeled(image, top)
            if named and _classes(image, top)
            else self._good_unless_named_bad(image)
            for image in images
        ]
        return judged_by_masks(samples, self.masks, named=named or self.all_good)

    def _test(self, top: Path, images: list[Path]) -> tuple[list[Sample], tuple[str, ...]]:
        direct = [image for image in images if not _classes(image, top)]
        if direct and not any(image in self.masks for image in direct):
            raise OnlygoodError(
                f"{display(top)}: images without a class; put them into good/ and one folder per defect type"
            )
        classed = [self._labeled(image, top) for image in images if _classes(image, top)]
        judged, notes = judged_by_masks(classed, self.masks, named=True)
        loose, more = judged_by_masks([Sample(image, 0) for image in direct], self.masks, named=False)
        return judged + loose, notes + more

    def _labeled(self, image: Path, top: Path) -> Sample:
        """Label by the folders below ``top``: bad/scratch/1.png is a scratch, good/bad/1.png is not good."""
        names = _classes(image, top)
        if meaning(names[0]) == "good":
            return self._good_unless_named_bad(image)
        finer = meaning(names[0]) == "bad" and len(names) > 1
        return Sample(image, 1, names[1] if finer else names[0])

    def _good_unless_named_bad(self, image: Path) -> Sample:
        bad = next((name for name in _classes(image, self.root) if meaning(name) == "bad"), None)
        return Sample(image, 0) if bad is None else Sample(image, 1, bad)

    def _everything(self) -> list[Path]:
        return [image for images in self.groups.values() for image in images]

    def _contradictions(self, images: Sequence[Path]) -> tuple[str, ...]:
        """A word on folders that mean bad inside of one that means good."""
        own = meaning(self.root.resolve().name) == "good"
        count, example = 0, ""
        for image in images:
            kinds = [meaning(name) for name in _classes(image, self.root)]
            if "bad" in kinds and (own or "good" in kinds[: kinds.index("bad")]):
                count, example = count + 1, display(image)
        words = (
            f"{count} images lie in a folder that means bad inside of one that means good, such as {example}"
        )
        return (f"{words}: taken as anomalous",) if count else ()


def _unclear(root: Path, groups: dict[str, list[Path]]) -> OnlygoodError:
    inner = {
        name
        for name in groups
        for image in groups[name]
        if {"train", "test"} & {*image.relative_to(root).parts[1:-1]}
    }
    if inner:
        first = sorted(inner)[0]
        return OnlygoodError(
            f"{display(root)} holds several data sets ({some(inner)}); give one of them, such as "
            f"{display(root / first)}"
        )
    found = some(f"{name or 'images directly in it'} ({len(groups[name])})" for name in groups)
    return UnclearFoldersError(
        f"{display(root)}: cannot tell which images are good: found {found}, and no folder whose name means "
        f"good. If all are: onlygood fit {display(root)} --all-good. Otherwise rename the folder of good "
        "images to 'good', or give that folder itself, or a CSV file with the header path,label",
        f"{display(root)} holds {found}, and no name says which are good. Are all of these images good?",
    )
