"""Files and data sets for tests of layouts and lists."""

from pathlib import Path

from onlygood.anomaly.data.datasets import Dataset


def touch(root: Path, *names: str) -> Path:
    """Layouts are told by names alone, so the files may be empty."""
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return root


def rows(dataset: Dataset) -> list[tuple[str, int, str, str | None]]:
    """Path, label, defect and mask of each sample, below the data set."""
    root = dataset.root if dataset.root.is_dir() else dataset.root.parent
    return [
        (
            s.path.relative_to(root).as_posix(),
            s.label,
            s.defect,
            s.mask and s.mask.relative_to(root).as_posix(),
        )
        for s in dataset.samples
    ]
