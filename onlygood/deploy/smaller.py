"""From a model in float to one in fewer bits: images sorted, ranges tried, the best kept, bounds held."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlygood.anomaly.data.samples import Sample
from onlygood.deploy.agreement import Agreement, Probe, Score
from onlygood.deploy.quantization import RANGES, Graph, measure_ranges, packed, to_fp16, to_int8
from onlygood.pretrain.data.store import HASH_DIGITS, pixel_hash
from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.images.many import read_images
from onlygood.runtime.images.reader import ReadOptions
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.metadata import Metadata, SelfTest
from onlygood.runtime.model.modelfile import ModelFile, check_sha256, read_metadata
from onlygood.runtime.model.onnxscan import scan
from onlygood.runtime.model.recalibrate import learned
from onlygood.runtime.model.selftest import generated_images
from onlygood.runtime.model.session import open_session

FOR_RANGES = 64  # images that the ranges of activations are measured on
FOR_AGREEMENT = 100  # good images that judgments are compared on
FEWEST = 10  # of these
_FOR_BLAME = 24  # images on which each layer is tried alone
_MOST_BLAMED = 5  # layers that are tried to be kept in float
_ROUNDS = 15  # of timing
_PIXEL_BYTES = 1 << 28  # that images of one kind may take in memory
_TOLERANCE = 0.01, 0.1  # least and largest of the self-test
_EMULATION = 3  # times the difference between kernels and emulation is allowed to other devices


@dataclass(frozen=True)
class Images:
    """Good images, sorted by what may be done with them."""

    ranges: list[NDArray[np.uint8]]  # to measure ranges on
    calibration: list[Sample]  # that neither the model nor its ranges know
    judged: list[NDArray[np.uint8]]  # some of these, to compare judgments on
    words: str


def sort_images(
    detector: Detector, samples: Sequence[Sample], options: ReadOptions, *, workers: int
) -> Images:
    """Which images measure ranges, and which calibrate.

    Ranges are best measured on images that the model learned from, for those of the calibration must be as
    new to the model as future ones. Where there are too few of them, up to a third of the new ones are taken.

    Raises:
        OnlygoodError: too few images are new to the model.
    """
    known, seen, most = learned(detector.metadata), set[str](), FEWEST
    old, new = list[Sample](), list[Sample]()
    for sample, pixels in _read(detector, samples, options, workers):
        digest = pixel_hash(pixels)[:HASH_DIGITS]
        if digest not in seen and not detector.objection(pixels):
            (old if digest in known else new).append(sample)
        seen.add(digest)
        most = max(FEWEST, _PIXEL_BYTES // pixels.nbytes)
    words = f"ranges from images that the model learned from ({len(old)} of them)"
    if len(old) < FEWEST:
        third = spread(new, min(FOR_RANGES, len(new) // 3))
        chosen = {id(sample) for sample in third}
        old, new = third, [sample for sample in new if id(sample) not in chosen]
        words = f"ranges from {len(old)} new images, which then do not calibrate"
    if len(new) < FEWEST:
        raise OnlygoodError(
            f"{len(new)} of {len(samples)} images are new to the model, to calibrate it on: {FEWEST}"
            " are the least. Give good images that it did not learn from"
            + (
                ""
                if detector.metadata.held_out()
                else "; the file, of an older onlygood, does not tell which were held out"
            )
        )
    ranges, judged = (
        [pixels for _, pixels in _read(detector, spread(some, min(count, most)), options, workers)]
        for some, count in ((old, FOR_RANGES), (new, FOR_AGREEMENT))
    )
    return Images(ranges, new, judged, words)


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most ``count`` of them, at even distances."""
    if len(samples) <= count:
        return list(samples)
    return [samples[i] for i in np.linspace(0, len(samples) - 1, count).astype(int)]


def _read(
    detector: Detector, samples: Sequence[Sample], options: ReadOptions, workers: int
) -> Iterator[tuple[Sample, NDArray[np.uint8]]]:
    """The readable ones; what is wrong with others is said when they are calibrated on."""
    paths = [sample.path for sample in samples]
    with closing(read_images(paths, detector.metadata.input, options, workers=workers)) as images:
        for sample, read in zip(samples, images, strict=True):
            if not isinstance(read.image, ImageError):
                yield sample, read.image.pixels


@dataclass(frozen=True)
class Candidate:
    """A smaller model that was tried."""

    ranges: str  # how its ranges were chosen; "" for fp16
    data: bytes
    agreement: Agreement


class Attempt:
    """Everything that one run of `onlygood quantize` tries on one model."""

    def __init__(
        self, detector: Detector, images: Images, *, seed: int, reduce_range: bool, keep: Sequence[str]
    ) -> None:
        self.graph = Graph.of(detector.file.data)
        self.keep = self.graph.matching(keep)
        self._metadata, self._images, self._reduce = detector.metadata, images, reduce_range
        self._ranges: dict[str, Any] = {}
        self.probe = Probe(images.judged, scorer(detector.file.data), seed=seed)

    def int8(self, say: Callable[[str], None]) -> list[Candidate]:
        """A candidate for each way to choose ranges, the one that agrees best first."""
        found = []
        for way in RANGES:
            self._ranges[way] = measure_ranges(self.graph, self._images.ranges, way)
            found.append(self._candidate(way, self.keep))
            tried = found[-1].agreement
            area = f"AUROC on painted defects {tried.auroc:.4f}"
            say(f"ranges by {way}: rank agreement {tried.rank:.4f}, {area}")
        return sorted(found, key=lambda one: -one.agreement.rank)

    def fp16(self) -> Candidate:
        """The candidate in half precision."""
        data = packed(to_fp16(self.graph, self.keep), self._metadata)
        return Candidate("", data, self.probe.compare(scorer(data)))

    def _candidate(self, way: str, keep: Sequence[str]) -> Candidate:
        data = self._int8(way, keep)
        return Candidate(way, data, self.probe.compare(scorer(data)))

    def _int8(self, way: str, keep: Sequence[str]) -> bytes:
        program = to_int8(self.graph, self._ranges[way], keep, reduce_range=self._reduce)
        return packed(program, self._metadata)

    def blame(self, way: str) -> list[str]:
        """Layers, those that hurt most first: which move the scores most if only that one is quantized."""
        few = slice(None, None, -(-len(self.probe.good) // _FOR_BLAME))
        good, before = self.probe.good[few], self.probe.before[0][few]
        found = []
        for layer in [layer for layer in self.graph.layers if layer not in self.keep]:
            score = scorer(self._int8(way, [other for other in self.graph.layers if other != layer]))
            found.append((float(np.abs(np.array([score(image) for image in good]) - before).mean()), layer))
        return [layer for _, layer in sorted(found, reverse=True)]

    def mended(self, way: str, enough: Callable[[Agreement], bool]) -> tuple[list[str], Agreement | None]:
        """Layers to keep in float, those that hurt most first, until it is ``enough``; five at most.

        With the agreement that is reached so; None where there is but one layer.
        """
        blamed, reached, count = self.blame(way), None, 0
        while count < min(_MOST_BLAMED, len(blamed) - 1) and not (reached and enough(reached)):
            count += 1
            reached = self._candidate(way, [*self.keep, *blamed[:count]]).agreement
        return blamed[: max(1, count)], reached


def scorer(data: bytes) -> Score:
    """The scores of a model file, an image at a time, on one thread."""
    session = open_session(data)
    return lambda image: float(session.run(["score"], {"images": image[None]})[0][0])


def with_self_test(data: bytes, metadata: Metadata) -> Metadata:
    """The metadata with the scores of the generated images that this graph gives here.

    Kernels in 8 bits round otherwise than the same steps in float, and other processors have other kernels.
    So the tolerance is three times that difference on this machine, within bounds.
    """
    images = generated_images(metadata.input, len(metadata.self_test.scores))
    score = scorer(data)
    scores = np.array([score(image) for image in images])
    plain = open_session(data, optimize=False)
    emulated = np.array([plain.run(["score"], {"images": image[None]})[0][0] for image in images])
    difference = float(np.abs(scores - emulated).max() / max(np.abs(scores).max(), 1e-38))
    low, high = _TOLERANCE
    test = SelfTest(scores=scores.tolist(), tolerance=min(max(low, _EMULATION * difference), high))
    return metadata.model_copy(update={"self_test": test})


def detector_of(data: bytes) -> Detector:
    """The detector of a model file in memory, checked like one on disk."""
    structure = scan(data)
    metadata = read_metadata(data, structure)
    return Detector(ModelFile(data, metadata, check_sha256(data), structure.ir_version, structure.opset))


def milliseconds(models: Sequence[bytes], image: NDArray[np.uint8]) -> list[float]:
    """Median time of each model for one image on one thread, all taking turns."""
    sessions = [open_session(data) for data in models]
    times: list[list[float]] = [[] for _ in models]
    for turn in range(_ROUNDS + 2):
        for session, mine in zip(sessions, times, strict=True):
            start = perf_counter()
            session.run(["score", "heatmap"], {"images": image[None]})
            if turn >= 2:  # the first ones warm up
                mine.append(1000 * (perf_counter() - start))
    return [median(mine) for mine in times]
