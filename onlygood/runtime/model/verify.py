"""Check a model file: is it complete and safe, and does it give the same scores here as at export?"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from onlygood.runtime.errors import ImageError, ModelError
from onlygood.runtime.images.files import as_on_disk, printable
from onlygood.runtime.images.reader import load_image
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.modelfile import (
    ModelFile,
    broken_seal,
    check_seal,
    check_sha256,
    read,
    read_metadata,
)
from onlygood.runtime.model.onnxscan import scan
from onlygood.runtime.model.selftest import generated_image, replay
from onlygood.runtime.model.signed import check_signature

_TABLE = "scores.csv"


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    passed: bool
    detail: str


def verify(
    path: Path, *, sha256: str | None = None, key: str | None = None, golden: Path | None = None
) -> Iterator[Check]:
    """Yield the checks as they are made; the first failure ends them, since each relies on those before.

    ``key`` is the public key that must have signed the file, or the file that holds it.
    ``golden`` is a folder of images with the ``scores.csv`` (columns path and score) that `onlygood score`
    wrote on the machine that made the model. It tests the image decoder of this device as well. The table
    holds paths of that machine: of each, the longest ending that names a file in the folder is used.
    """
    name = "file"
    try:
        data = read(path)
        yield Check(name, True, f"{len(data):,} bytes")
        name = "sha256"
        digest = check_sha256(data, sha256)
        yield Check(name, True, f"{digest}{'' if sha256 is None else ', as asked for'}")
        if key is not None:
            name = "signature"
            signed = check_signature(path, data, key)
            yield Check(name, True, f"by the key {signed.key}, who says: {printable(signed.comment)}")
        name = "structure"
        structure = scan(data)
        yield Check(name, True, f"one file, {len(structure.operators)} kinds of operators, all allowed")
        name = "metadata"
        metadata = read_metadata(data, structure)
        yield Check(name, True, f"schema {metadata.schema_version}, {metadata.name!r}")
        name = "seal"
        if not check_seal(data):
            raise ModelError(broken_seal(metadata))
        yield Check(name, True, "not a byte has changed since export")
        name = "runtime"
        detector = Detector(ModelFile(data, metadata, digest, structure.ir_version, structure.opset))
        yield Check(name, True, "onnxruntime loads it; inputs and outputs are as promised")
        name = "self-test"
        test = metadata.self_test
        generated = (generated_image(metadata.input, index) for index in range(len(test.scores)))
        yield Check(name, True, _replay(detector, generated, test.scores))
        if golden is not None:
            name = "golden"
            expected = _golden_scores(golden / _TABLE)
            found = [_find(golden, image) for image in expected]
            images = (_load(image, metadata.input) for image in found)
            yield Check(name, True, _replay(detector, images, list(expected.values())))
    except (ModelError, ImageError) as error:
        yield Check(name, False, str(error))


def _replay(detector: Detector, images: Iterable[NDArray[np.uint8]], expected: list[float]) -> str:
    """Compare scores of ``images``, each ``(H, W, C)``, run one at a time as `Detector.score` does."""
    tolerance = detector.metadata.self_test.tolerance
    scores = np.concatenate([detector.infer(image[None])[0] for image in images])
    deviation = replay(scores, expected, tolerance)
    return f"{len(expected)} scores within {deviation:.1e} (allowed: {tolerance:.1e})"


def _golden_scores(table: Path) -> dict[str, float]:
    """Expected scores by the image's name."""
    try:
        with table.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            expected = {row["path"]: float(row["score"]) for row in csv.DictReader(file) if row["score"]}
    except OSError as error:
        raise ModelError(f"{table}: {error.strerror}") from None
    except (KeyError, ValueError, csv.Error) as error:
        raise ModelError(f"{table}: not a table with the columns path and score ({error})") from None
    if not expected:
        raise ModelError(f"{table}: no scores")
    if not np.isfinite(list(expected.values())).all():
        raise ModelError(f"{table}: a score is no finite number")
    return expected


def _find(folder: Path, name: str) -> Path:
    """The file in ``folder`` for the path ``name``, which may be of another folder or machine."""
    for parts in (Path(name).parts, PureWindowsPath(name).parts):
        for start in range(len(parts)):
            below = Path(*parts[start:])
            path = as_on_disk(folder / below)
            if not below.is_absolute() and ".." not in below.parts and path.is_file():
                return path
    raise ModelError(
        f"{printable(folder / _TABLE)} names {printable(name)}, and no file in {printable(folder)} ends so:"
        " give the folder that was scored, with its images"
    )


def _load(path: Path, spec: InputSpec) -> NDArray[np.uint8]:
    try:
        return load_image(path, spec).pixels
    except ImageError as error:
        raise ImageError(f"{printable(path)}: {error}") from None
