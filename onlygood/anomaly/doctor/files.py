"""What the files are like: unreadable, the same twice, of several sizes, kinds and depths."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from onlygood.anomaly.doctor.findings import Finding, Material, listed
from onlygood.pretrain.data.plan import OTHER_SHAPE

_RARE = 0.2  # of the images: a kind of file that fewer have stands out
_SCALE = 2.0  # sizes in pixels that differ by more are other magnifications, or crops
_GRAY = 4  # gray levels by which the channels of a gray image differ at most, as in `survey_images`
_LOSSY = {".jpg", ".jpeg", ".webp"}


def examine_files(material: Material) -> Iterator[Finding]:
    """Findings about the files, without looking at what they show."""
    yield from _unreadable(material)
    yield from _copies(material)
    yield from _sizes(material)
    yield from _colors(material)
    yield from _depths(material)
    yield from _compression(material)


def _unreadable(material: Material) -> Iterator[Finding]:
    if bad := material.store.bad:
        total = len(bad) + len(material.store)
        reasons = Counter(reason for _, reason in bad).most_common(3)
        yield Finding(
            "unreadable",
            "problem",
            f"{len(bad)} of {total} files cannot be read: "
            + "; ".join(f"{reason} ({count})" for reason, count in reasons),
            "they are skipped: the model learns from fewer images than it seems, and whatever damaged them "
            "may damage images on the line too",
            "copy them again from where they came, or delete them",
            listed([path for path, _ in bad]),
            len(bad),
        )


def _copies(material: Material) -> Iterator[Finding]:
    groups = material.store.duplicates
    if groups:
        extra = [path for group in groups for path in group[1:]]
        yield Finding(
            "copies",
            "warning",
            f"{len(extra)} images are copies of others, pixel by pixel",
            "a copy teaches nothing, and one on each side of the split would make the promise a lie: `fit` "
            "uses one of each, so there are fewer good images than files",
            "delete them, and count the images that are left when you choose a false-alarm rate",
            listed(extra),
            len(extra),
        )


def _sizes(material: Material) -> Iterator[Finding]:
    """Other shapes are squeezed, other scales show the same defect in another size."""
    sizes = {path: (header.width, header.height) for path, header in material.headers.items()}
    if len(set(sizes.values())) < 2:
        return
    usual = Counter(sizes.values()).most_common(1)[0]
    middle = np.median(np.array(list(sizes.values())), axis=0)
    shape = [p for p, (w, h) in sizes.items() if _ratio(w / h, middle[0] / middle[1]) > OTHER_SHAPE]
    scale = [p for p, (w, h) in sizes.items() if _ratio((w * h) ** 0.5, middle.prod() ** 0.5) > _SCALE]
    odd = sorted({*shape, *scale})
    seen = f"{len(set(sizes.values()))} different sizes; {usual[1]} of {len(sizes)} images have "
    seen += f"{usual[0][0]}×{usual[0][1]} px"
    if not odd:
        yield Finding(
            "sizes",
            "note",
            seen,
            "all are brought to one size, which changes the scale of what they show a little",
            "nothing, unless they should be equal",
        )
        return
    yield Finding(
        "sizes",
        "warning",
        f"{seen}; {len(shape)} have another shape than the median (by over {OTHER_SHAPE - 1:.0%}), "
        f"{len(scale)} are over {_SCALE:g} times larger or smaller",
        "images of another shape are squeezed and of another size enlarged or shrunk: what is normal looks "
        "different in them, and the threshold rises until it covers that",
        "take them with one camera setting, keep shapes whole with --set input.resize=pad, or "
        "fit a model each",
        listed(odd),
        len(odd),
    )


def _ratio(a: float, b: float) -> float:
    return max(a / b, b / a)


def _colors(material: Material) -> Iterator[Finding]:
    """A few gray images among colored ones, or the other way round."""
    if material.store.spec.channels == 1:
        return
    gray = [
        int(i)
        for i in material.looked_at
        if np.ptp(material.store.batch(np.array([i]))[0], axis=2).max() <= _GRAY
    ]
    total = len(material.looked_at)
    if gray and len(gray) < total:
        few, kind = (gray, "gray") if 2 * len(gray) <= total else (_others(material, gray), "colored")
        yield Finding(
            "colors",
            "warning",
            f"{len(few)} of {total} images are {kind}, the others are not",
            "the kind of the image becomes a trait of good parts: real defects have to be larger than the "
            "difference between the two",
            "take all with one camera mode, or make all gray with --set input.channels=1",
            material.names(few),
            len(few),
        )


def _others(material: Material, ids: list[int]) -> list[int]:
    return np.setdiff1d(material.looked_at, ids).tolist()  # type: ignore[no-any-return]


def _depths(material: Material) -> Iterator[Finding]:
    """Some files of more than 8 bits, or several depths that files declare."""
    depth: dict[Path, str] = {
        path: f"16 bits, white {header.white}"
        if header.white
        else "16 bits"
        if header.sixteen_bit
        else "8 bits"
        for path, header in material.headers.items()
    }
    counts = Counter(depth.values())
    if len(counts) > 1:
        usual = counts.most_common(1)[0][0]
        odd = [path for path, value in depth.items() if value != usual]
        yield Finding(
            "depths",
            "warning",
            "files of several depths: "
            + ", ".join(f"{count} of {name}" for name, count in counts.most_common()),
            "a depth that is not the true one makes an image nearly black or white, and the reader can only "
            "trust what a file says",
            "save all in one depth, or say the camera's with --set input.bit_depth=12",
            listed(odd),
            len(odd),
        )


def _compression(material: Material) -> Iterator[Finding]:
    """A few lossy files among lossless ones, or the other way round."""
    lossy = [path for path in material.store.paths if path.suffix.lower() in _LOSSY]
    total = len(material.store)
    few = lossy if 2 * len(lossy) <= total else sorted({*material.store.paths} - {*lossy})
    if 0 < len(few) <= _RARE * total:
        kind = "compressed with loss (JPEG, WebP)" if few is lossy else "compressed without loss"
        yield Finding(
            "compression",
            "warning",
            f"{len(few)} of {total} images are {kind}, the others are not",
            "blocks and smoothed noise of a JPEG are the strongest difference between two good images, and "
            "self-supervised tasks learn such traces first",
            "save all images in one format, best without loss, and score the same",
            listed(few),
            len(few),
        )
