"""Small labeled images that several benchmarks read: CIFAR-10 and Fashion-MNIST, in memory."""

import gzip
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import harness
from onlygood.pretrain.data.store import ImageStore
from onlygood.runtime.images.spec import InputSpec

SIDE = 32
FASHION = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")


class ArrayStore:
    """Images uint8 ``(n, H, W, C)`` in memory, as the trainer takes them."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images = images
        self.hashes = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
        self.fingerprint = hashlib.sha256("".join(self.hashes).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, ids: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images ``ids`` ``(B,)``, ``(B, H, W, C)``."""
        return self.images[ids]


@dataclass(frozen=True)
class Classes:
    """Images uint8 ``(n, 32, 32, C)`` of a data set, and the numbers of their classes ``(n,)``."""

    names: tuple[str, ...]
    train: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test: NDArray[np.uint8]
    test_labels: NDArray[np.int64]

    def good(self, name: str) -> ArrayStore:
        """All training images of one class."""
        return ArrayStore(self.train[self.train_labels == self.names.index(name)])


def cifar10_files(root: Path) -> dict[str, dict[str, list[Path]]]:
    """Files of each class by part, ``train`` and ``test``, in the order of their names.

    ``root`` holds train/CLASS and test/CLASS, as folders or as train/CLASS.zip and test.zip.
    """
    test = harness.unpacked(root / "test" if (root / "test").is_dir() else root / "test.zip")
    found: dict[str, dict[str, list[Path]]] = {"train": {}, "test": {}}
    for name in sorted(path.name for path in test.iterdir() if path.is_dir()):
        folder = root / "train" / name
        train = harness.unpacked(folder if folder.is_dir() else folder.with_suffix(".zip"))
        for part, place in (("train", train), ("test", test / name)):
            found[part][name] = sorted(path for path in place.rglob("*") if path.is_file())
    return found


def cifar10(root: Path) -> Classes:
    """CIFAR-10: 5,000 training and 1,000 test images a class."""
    files = cifar10_files(root.resolve())
    names = tuple(files["train"])

    def read(part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        paths = [path for name in names for path in files[part][name]]
        labels = np.repeat(np.arange(len(names)), [len(files[part][name]) for name in names])
        spec = InputSpec(height=SIDE, width=SIDE, channels=3)
        store = ImageStore.build(paths, spec, harness.RUNS / "data" / "cache", workers=1, progress=False)
        return store.batch(np.arange(len(store))), labels

    return Classes(names, *read("train"), *read("test"))


def fashion_mnist(root: Path) -> Classes:
    """Fashion-MNIST, 6,000 training and 1,000 test images a class, in a frame of zeros as GEOM has it."""

    def read(part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        images = idx(root / f"{part}-images-idx3-ubyte.gz")
        margin = (SIDE - images.shape[1]) // 2
        framed = np.pad(images, ((0, 0), (margin, margin), (margin, margin)))[..., None]
        return framed, idx(root / f"{part}-labels-idx1-ubyte.gz").astype(np.int64)

    return Classes(FASHION, *read("train"), *read("t10k"))


def idx(file: Path) -> NDArray[np.uint8]:
    """An array of bytes in the format of MNIST: magic number 0, 0, 8, dimensions; their sizes; the bytes."""
    data = gzip.decompress(file.read_bytes())
    if data[:3] != b"\0\0\x08":
        sys.exit(f"{file}: not an IDX file of bytes")
    begin = 4 + 4 * data[3]
    sizes = np.frombuffer(data, ">u4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=begin).reshape(sizes)


READERS = {"cifar10": cifar10, "fashion-mnist": fashion_mnist}
