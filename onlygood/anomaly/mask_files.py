"""Which files are masks, and of which images: told by names, beside the image or in a folder of masks."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from onlygood.anomaly.masks import read_mask
from onlygood.anomaly.names import composed, image_stems, meaning, stem
from onlygood.deploy.runtime.errors import ImageError
from onlygood.deploy.runtime.files import display

_LOOKED_AT = 8  # files that are opened to tell masks from photographs where names do not


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
        tree = _tree(file, home)
        (loose if tree is None else trees[tree]).append(file)
    notes = []
    for tree in [tree for tree in trees if _photographs(trees[tree])]:
        loose += trees.pop(tree)
        notes.append(
            f"{display(tree.name)} is taken as a class: its pictures look like photographs, not masks"
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
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_stem[stem(image)].append(image)
    for tree, found in trees.items():
        idle = 0
        for mask in found:
            owner = _owner(mask, tree, by_stem)
            if owner is None:
                idle += 1
            else:
                masks[owner].append(mask)
        if idle:
            notes.append(f"{idle} masks belong to none of these images (in {display(tree.name)}, left out)")
    return Pairs(images, masks, tuple(notes))


def _tree(file: Path, home: Path) -> Path | None:
    """The outermost folder of masks that a file lies in."""
    folders = file.relative_to(home).parts[:-1]
    for depth, name in enumerate(folders, 1):
        if meaning(name) == "mask":
            return home.joinpath(*folders[:depth])
    return None


def _beside(files: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Masks with the image in the same folder whose name theirs extends."""
    at = {(file.parent, stem(file)): file for file in reversed(files)}
    found = []
    for file in files:
        owners = [at.get((file.parent, name)) for name in image_stems(stem(file))]
        found += [(file, owner) for owner in owners if owner is not None][:1]
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
    for file in files[:: max(1, len(files) // _LOOKED_AT)]:
        try:
            votes[read_mask(file).photo] += 1
        except ImageError:
            continue
    return votes[True] > votes[False]


def _owner(mask: Path, tree: Path, by_stem: dict[str, list[Path]]) -> Path | None:
    """The one image beside the ``tree`` that a mask in it belongs to."""
    folders = _telling(mask, tree)
    keys = [(folders, name) for name in (stem(mask), *image_stems(stem(mask)))]
    if folders:
        keys.append((folders[:-1], folders[-1]))  # a folder for each image
    for wanted, name in keys:
        near = [image for image in by_stem.get(name, ()) if tree.parent in image.parents]
        theirs = {image: _telling(image, tree.parent) for image in near}
        alike = [image for image in near if theirs[image][-len(wanted) :] == wanted] if wanted else near
        for few in _narrowed(alike or [image for image in near if not theirs[image]], theirs):
            return few
    return None


def _narrowed(images: Sequence[Path], folders: dict[Path, tuple[str, ...]]) -> Iterable[Path]:
    """The only one, or the only one that no folder calls good, or the only one to test on."""
    bad = [image for image in images if "good" not in map(meaning, folders[image])]
    tests = [image for image in images if "test" in map(str.lower, folders[image])]
    return next((few for few in (images, bad, tests) if len(few) == 1), ())


def _telling(file: Path, above: Path) -> tuple[str, ...]:
    """Folders of a file below ``above`` that say something, which ``images`` does not."""
    folders = file.relative_to(above).parts[:-1]
    return tuple(composed(name) for name in folders if meaning(name) != "images")
