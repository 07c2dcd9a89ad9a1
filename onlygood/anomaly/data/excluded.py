"""Images that somebody has marked as bad, left out of those to learn from."""

from dataclasses import replace
from pathlib import Path

from onlygood.anomaly.data.lists import from_list
from onlygood.anomaly.data.samples import Dataset
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display


def excluding(good: Dataset, marks: Path) -> Dataset:
    """The images of ``good`` without those that the list ``marks`` (``path,label``) calls anomalous.

    Those that it calls good stay, like those that it does not name. A file is the same by whatever path it is
    reached. The description says how many were left out, and how many are not among the images.

    Raises:
        OnlygoodError: it cannot be read, says nothing of labels, or leaves no image.
    """
    found = from_list(marks)
    if not found.labeled:
        raise OnlygoodError(f"{display(marks)}: no labels in it; --exclude takes a CSV list path,label")
    listed = [*found.train, *(found.test if found.test is not found.train else ())]
    bad = {sample.path.resolve() for sample in listed if sample.label}
    if not bad:
        raise OnlygoodError(f"{display(marks)} calls no image bad: there is nothing to leave out")
    left = tuple(sample for sample in good.samples if sample.path.resolve() not in bad)
    if not left:
        raise OnlygoodError(f"{display(marks)} calls all {len(good.samples)} images bad: none is left")
    out = len(good.samples) - len(left)
    words = f"; {out} left out, which {display(marks.name)} calls bad"
    if strangers := len(bad) - out:
        words += f" ({strangers} more that it calls bad are not among these images)"
    return replace(good, samples=left, description=good.description + words)
