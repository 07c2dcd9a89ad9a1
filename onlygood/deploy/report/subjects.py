"""Which images a report is about, and what is known of them: labels, where folders, lists or masks tell."""

from collections.abc import Iterable, Sized
from dataclasses import dataclass, field
from pathlib import Path

from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.data.layouts import UnclearFoldersError
from onlygood.anomaly.data.samples import Sample
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import IMAGE_SUFFIXES, Findings, as_on_disk, display, find_images


@dataclass
class Subjects:
    """The images by path, in the order given; a sample is None where nothing says whether it is good."""

    samples: dict[Path, Sample | None] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)  # what was found in each folder or list
    empty: list[Path] = field(default_factory=list)  # folders in which there is no image


def find_subjects(paths: Iterable[Path]) -> Subjects:
    """Look through files, folders and lists; of a data set with a test part, that part.

    A folder whose own name and those of its folders say nothing gives images without labels: that all are
    good, as a training takes it, would be an invention here.

    Raises:
        OnlygoodError: a list cannot be read, or there are no images at all.
    """
    found = Subjects()
    for path in map(as_on_disk, paths):
        if path.is_dir():
            _folder(path, found)
        elif path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES:
            _labeled(path, found)
        else:  # also one that is missing: its row will say so
            found.samples.setdefault(path, None)
    if not found.samples:
        raise OnlygoodError("no images found; give image files, folders, or CSV lists")
    return found


def _folder(folder: Path, found: Subjects) -> None:
    try:
        _labeled(folder, found)
    except OnlygoodError as error:
        findings = Findings()
        images = list(find_images([folder], findings=findings))
        found.empty += findings.empty
        found.samples |= {image: None for image in images if image not in found.samples}
        if images:
            unclear = isinstance(error, UnclearFoldersError)
            why = "no name says which are good" if unclear else f"labels are not used: {error}"
            found.words.append(f"{display(folder)}: {_counted(images)}; {why}")


def _labeled(path: Path, found: Subjects) -> None:
    dataset = discover(path, "test")
    for sample in dataset.samples:
        if dataset.labeled or found.samples.get(sample.path) is None:
            found.samples[sample.path] = sample if dataset.labeled else None
    words = f"{_counted(dataset.samples)}, without labels"
    found.words.append(f"{display(path)}: {dataset.description if dataset.labeled else words}")


def _counted(images: Sized) -> str:
    return f"{len(images)} image{'s' * (len(images) != 1)}"
