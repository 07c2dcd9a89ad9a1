"""Which files are masks, and of which images: told by names, beside the image or in a folder of masks."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from onlygood.anomaly.data.masks import read_mask
from onlygood.anomaly.data.names import composed, image_stems, meaning, stem
from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.files import display

_LOOKED_AT = 8  # files that are opened to tell masks from photographs where names do not

_Place = tuple[Path, tuple[str, ...] | None, str]


@dataclass(frozen=True)
class Pairs:
    """Files told apart; an image may have several masks."""

    images: list[Path]
    masks: dict[Path, list[Path]]
    notes: tuple[str, ...]


def pair(files: Sequence[Path], home: Path) -> Pairs:
    """Tell the images among ``files``, which lie below ``home``, from the masks.

    Masks lie beside their image (``X_mask``, ``X_label``, ``X_GT`` … where X is there too) or in a folder
    that means masks, under the image's stem, with or without such an addition, and in folders named like the
    image's. Such a folder may also be a class, as ``label`` is a kind of defect: it is, if its pictures have
    as many shades as photographs. Files of one name and two endings (``X.jpg``, ``X.png``) are image and mask
    if those of one ending are photographs and those of the other are not.
    """
    trees: dict[Path, list[Path]] = defaultdict(list)
    loose: list[Path] = []
    for file in files:
        tree = _tree(file.parent, home)
        (loose if tree is None else trees[tree]).append(file)
    notes = []
    for name in sorted({tree.name for tree in trees}):
        alike = [tree for tree in trees if tree.name == name]
        if _photographs([file for tree in alike for file in trees[tree]]):
            loose += [file for tree in alike for file in trees.pop(tree)]
            notes.append(
                f"{display(name)} is taken as a class: its pictures look like photographs, not masks"
            )
    masks: dict[Path, list[Path]] = defaultdict(list)
    beside = _beside(loose)
    if _photographs([mask for mask, _ in beside]):
        beside, name = [], display(beside[0][0].name)
        notes.append(f"{name} and the like are taken as images: they look like photographs, not masks")
    for mask, image in [*beside, *_twins(loose)]:
        masks[image].append(mask)
    taken = {mask for several in masks.values() for mask in several}
    images = sorted(file for file in loose if file not in taken)
    if taken:
        notes.append(f"{len(taken)} masks lie beside their images, such as {display(min(taken).name)}")
    places = _places(images, {tree.parent for tree in trees})
    idle: Counter[str] = Counter()
    for tree, found in trees.items():
        for mask in found:
            owners = _owners(mask, tree, places)
            idle[tree.name] += not owners
            for owner in owners:
                masks[owner].append(mask)
    for name, count in sorted((+idle).items()):
        notes.append(
            f"{count} masks belong to none of these images, or to several (in {display(name)}, left out)"
        )
    return Pairs(images, {image: masks[image] for image in images if image in masks}, tuple(notes))


@lru_cache(1 << 16)
def _tree(folder: Path, home: Path) -> Path | None:
    """The outermost folder of masks below ``home`` that ``folder`` is, or lies in."""
    folders = folder.relative_to(home).parts
    for depth, name in enumerate(folders, 1):
        if meaning(name) == "mask":
            return home.joinpath(*folders[:depth])
    return None


def _beside(files: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Masks with the image in the same folder whose name theirs extends, in each format it is saved in."""
    at: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for file in files:
        at[file.parent, stem(file)].append(file)
    found = []
    for file in files:
        places = [(file.parent, name) for name in image_stems(stem(file))]
        owners = next((at[place] for place in places if place in at), [])
        found += [(file, owner) for owner in owners]
    return found


def _twins(files: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Masks with the image of the same name and another ending."""
    same: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for file in files:
        same[file.parent, stem(file)].append(file)
    kinds: dict[tuple[str, str], list[tuple[Path, Path]]] = defaultdict(list)
    for one, other in (twins for twins in same.values() if len(twins) == 2):
        first, second = sorted((one, other), key=lambda file: file.suffix.lower())
        kinds[first.suffix.lower(), second.suffix.lower()].append((first, second))
    found = []
    for twins in kinds.values():
        first_photo, second_photo = (_photographs([pair[i] for pair in twins]) for i in (0, 1))
        if second_photo and not first_photo:
            found += twins
        elif first_photo and not second_photo:
            found += [(second, first) for first, second in twins]
    return found


def _photographs(files: Sequence[Path]) -> bool:
    """Whether most of some files have as many shades as photographs; unreadable ones do not count."""
    votes: Counter[bool] = Counter()
    for file in files[:: -(-len(files) // _LOOKED_AT) or 1]:
        try:
            votes[read_mask(file).photo] += 1
        except ImageError:
            continue
    return votes[True] > votes[False]


def _places(images: Sequence[Path], above: set[Path]) -> dict[_Place, list[Path]]:
    """Images by a folder of ``above`` that they lie in, the folders right around them, and their stem.

    All ends of the way down to the image are keys, the empty one too; None is for those without folders.
    """
    places: dict[_Place, list[Path]] = defaultdict(list)
    for image in images:
        name = stem(image)
        for folder in above.intersection(image.parents):
            way = _telling(image.parent, folder)
            for start in range(len(way) + 1):
                places[folder, way[start:], name].append(image)
            if not way:
                places[folder, None, name].append(image)
    return places


def _owners(mask: Path, tree: Path, places: dict[_Place, list[Path]]) -> Sequence[Path]:
    """The one image beside the ``tree`` that a mask in it belongs to, in each format that it is saved in."""
    folders = _telling(mask.parent, tree)
    keys = [(folders, name) for name in (stem(mask), *image_stems(stem(mask)))]
    if folders:
        keys.append((folders[:-1], folders[-1]))  # a folder for each image
    for wanted, name in keys:
        alike = places.get((tree.parent, wanted, name)) or places.get((tree.parent, None, name), [])
        if owners := _narrowed(alike, tree.parent):
            return owners
    return ()


def _narrowed(images: Sequence[Path], above: Path) -> Sequence[Path]:
    """Those of the only folder, or of the only one that nothing calls good, or the only one to test on."""
    bad = [image for image in images if "good" not in map(meaning, _telling(image.parent, above))]
    tests = [image for image in images if "test" in map(str.lower, _telling(image.parent, above))]
    return next((few for few in (images, bad, tests) if len({image.parent for image in few}) == 1), ())


@lru_cache(1 << 16)
def _telling(folder: Path, above: Path) -> tuple[str, ...]:
    """Names of folders from ``above`` down to ``folder`` that say something, which ``images`` does not."""
    folders = folder.relative_to(above).parts
    return tuple(composed(name) for name in folders if meaning(name) != "images")
