"""Which files are masks, and of which images, by names: beside the image or in a folder of masks."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from onlygood.anomaly.data.masks import read_mask
from onlygood.anomaly.data.names import composed, image_stems, meaning, stem
from onlygood.runtime.errors import ImageError
from onlygood.runtime.images.files import display

_LOOKED_AT = 8  # files that are opened to tell masks from photographs

_Place = tuple[Path, tuple[str, ...] | None, str]


@dataclass(frozen=True)
class Pairs:
    """Images and their masks; an image may have several."""

    images: list[Path]
    masks: dict[Path, list[Path]]
    notes: tuple[str, ...]


def pair(files: Sequence[Path], home: Path) -> Pairs:
    """Tell the images among ``files``, which lie below ``home``, from the masks.

    A mask lies beside its image (``X_mask``, ``X_label``, ``X_GT`` … if there is an X too) or in a folder
    whose name means masks. There it has the stem of the image, with or without such an addition, and lies in
    folders with the names of the image's folders. Such a folder may also be a class, since ``label`` may be a
    kind of defect: it is a class if its pictures have as many shades as photographs. Files of one name and
    two endings (``X.jpg``, ``X.png``) are image and mask if those of one ending are photographs and those of
    the other are not.
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
    """The outermost folder of masks below ``home`` that contains or is ``folder``; None if there is none."""
    folders = folder.relative_to(home).parts
    for depth, name in enumerate(folders, 1):
        if meaning(name) == "mask":
            return home.joinpath(*folders[:depth])
    return None


def _beside(files: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pairs of mask and image in one folder, where the mask's name extends the image's; one per format."""
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
    """Masks with their images, which have the same name and another ending."""
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
    """Whether most of up to eight files have as many shades as photographs; unreadable ones are skipped."""
    votes: Counter[bool] = Counter()
    for file in files[:: -(-len(files) // _LOOKED_AT) or 1]:
        try:
            votes[read_mask(file).photo] += 1
        except ImageError:
            continue
    return votes[True] > votes[False]


def _places(images: Sequence[Path], above: set[Path]) -> dict[_Place, list[Path]]:
    """Images by a folder of ``above`` that contains them, the folders between, and their stem.

    Every ending of the list of folders between is a key, also the empty one; None is the key of images
    without such folders.
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
    """The image beside ``tree`` to which a mask in it belongs, in all formats in which the image is saved."""
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
    """The images of the only folder, of the only one that is not good, or of the only one for tests."""
    bad = [image for image in images if "good" not in map(meaning, _telling(image.parent, above))]
    tests = [image for image in images if "test" in map(str.lower, _telling(image.parent, above))]
    return next((few for few in (images, bad, tests) if len({image.parent for image in few}) == 1), ())


@lru_cache(1 << 16)
def _telling(folder: Path, above: Path) -> tuple[str, ...]:
    """Names of the folders from ``above`` down to ``folder`` that have a meaning; ``images`` has none."""
    folders = folder.relative_to(above).parts
    return tuple(composed(name) for name in folders if meaning(name) != "images")
