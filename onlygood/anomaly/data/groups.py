"""Which part an image shows, from file names: as the user says it, and as the names look."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onlygood.anomaly.data.samples import Dataset
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display

_FIELD = re.compile(r"(?:^|/)([A-Za-z]+[ _-]?)\d+(?=[^\d.])")  # the first in a name, or a folder
_VIEWS = {"cam", "camera", "day", "exp", "exposure", "frame", "im", "image", "img", "light", "shot", "view"}
_MOST_MATCH = 0.9  # of the images at least, in a proposal
_FEWEST = 8  # parts of a proposal
_SIZES = (2, 100)  # images of a part, at the mean


@dataclass(frozen=True)
class Proposal:
    """A pattern that `--groups` takes, and how many parts and images it finds."""

    pattern: str
    parts: int
    images: int

    def words(self) -> str:
        """What to say to the user, who alone knows."""
        return (
            f"file names look like {self.parts} parts of about {self.images / self.parts:.0f} images: if "
            f"they are, --groups '{self.pattern}' keeps the images of a part together and makes the promise "
            "for new parts"
        )


def grouped(good: Dataset, pattern: str) -> Dataset:
    """The same images, each in the group that ``pattern`` finds in its path relative to the root.

    The group is the pattern's first group, or all that it matches. An image that it does not match is a part
    of its own.

    Raises:
        OnlygoodError: no regular expression, it matches no image, or the list names groups already.
    """
    if any(sample.group for sample in good.samples):
        raise OnlygoodError(f"{display(good.root)} names groups already: leave out --groups or the column")
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise OnlygoodError(f"--groups {pattern}: not a regular expression ({error})") from None
    names = relative(good)
    found = _found(expression, names)
    if not any(found):
        raise OnlygoodError(f"--groups {pattern}: matches none of the paths, such as {names[0]}")
    samples = zip(good.samples, found, strict=True)
    return replace(good, samples=tuple(replace(sample, group=group) for sample, group in samples))


def relative(good: Dataset) -> list[str]:
    """Paths of the images from the root on, with forward slashes."""
    root = good.root if good.root.is_dir() else good.root.parent
    return [Path(os.path.relpath(sample.path, root)).as_posix() for sample in good.samples]


def propose(names: Sequence[str]) -> Proposal | None:
    """A pattern by which the relative paths ``names`` look like parts photographed several times; or none.

    Tried are words with a number at the beginning of a name, if more follows, or of a folder: ``kos01`` of
    ``kos01_Part5.jpg``. Numbers of views and exposures are none of parts.
    """
    words = Counter(match[1] for name in names for match in _FIELD.finditer(name))
    for word, _ in words.most_common():
        if word.rstrip(" _-").lower() in _VIEWS:
            continue
        pattern = rf"{re.escape(word)}\d+"
        sizes = Counter(filter(None, _found(re.compile(pattern), names)))
        parts, images = len(sizes), sizes.total()
        if (
            images >= _MOST_MATCH * len(names)
            and parts >= _FEWEST
            and _SIZES[0] <= images / parts <= _SIZES[1]
        ):
            return Proposal(pattern, parts, images)
    return None


def _found(expression: re.Pattern[str], names: Sequence[str]) -> list[str]:
    """The group of each name, "" where there is none."""
    matches = (expression.search(name) for name in names)
    return [(match[1 if expression.groups else 0] or "") if match else "" for match in matches]
