"""Run a model file: images in; scores, p-values, verdicts and heatmaps out."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Any, Self, overload

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL import ImageOps

from onlygood.runtime.errors import ImageError, ModelError
from onlygood.runtime.images.area import blanked
from onlygood.runtime.images.reader import DEFAULTS, ReadOptions, load_image
from onlygood.runtime.images.resize import resize
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model import calibration, frames
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.model.modelfile import ModelFile, load_model
from onlygood.runtime.model.result import Result, detector_html
from onlygood.runtime.model.session import check_signature, in_words, open_session

Image = Path | str | NDArray[np.uint8] | PIL.Image.Image
# a str is itself a Sequence[str]
Images = Sequence[Path | NDArray[np.uint8] | PIL.Image.Image] | list[str] | tuple[str, ...]


class Detector:
    """Scores images with a model file, without torch.

    Examples:
        >>> detector = Detector.load("model.onnx")
        >>> detector.score("part.png").anomalous

    `score` runs images one at a time, so that no score depends on other images, not even in its last bit,
    and a resumed run gives the same numbers. On CPUs batches through `infer` are no faster. Several threads
    may use one detector at once; those of an accelerator take turns.
    """

    def __init__(self, file: ModelFile, *, threads: int = 1, provider: str = "cpu") -> None:
        self.file = file
        self._options = (threads, provider)
        self._session = open_session(file.data, threads=threads, provider=provider)
        check_signature(self._session, file.metadata)
        # Not every provider can run a session in several threads, and none of an accelerator gains by it.
        self._turn = nullcontext() if provider.lower() == "cpu" else Lock()

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        threads: int = 1,
        sha256: str | None = None,
        key: Path | str | None = None,
        provider: str = "cpu",
    ) -> Self:
        """Check and load a model file; the bytes that run are the bytes that were checked.

        Args:
            path: the model file.
            threads: of onnxruntime.
            sha256: the hash that the file must have, as 64 hexadecimal digits.
            key: the public key, or the file that holds it, that must have signed the file (minisign).
            provider: short name of an onnxruntime execution provider, such as "cpu" or "cuda".

        Raises:
            ModelError: the file is refused, or there is no such provider; there is no silent fall-back.
            OnlygoodError: the key cannot be used.
        """
        return cls(load_model(path, sha256, key), threads=threads, provider=provider)

    def __reduce__(self) -> tuple[Any, ...]:
        """Other processes get the file and open a session of their own."""
        threads, provider = self._options
        return partial(type(self), threads=threads, provider=provider), (self.file,)

    def _repr_html_(self) -> str:
        return detector_html(self.metadata, self.file.sha256, self.threshold())

    @property
    def metadata(self) -> Metadata:
        """The metadata of the file."""
        return self.file.metadata

    @cached_property
    def calibration(self) -> NDArray[np.float64]:
        """Scores ``(n,)`` of good images that the model never saw, ascending."""
        return np.asarray(self.metadata.calibration.scores)

    @cached_property
    def weights(self) -> NDArray[np.float64] | None:
        """What each of these scores counts ``(n,)`` where the file names their parts."""
        return self.metadata.calibration.weights()

    @cached_property
    def inside(self) -> NDArray[np.bool_] | None:
        """The pixels ``(H, W)`` of the model's canvas that count; None if all do."""
        return self.metadata.inside()

    def threshold(self, alpha: float | None = None) -> float:
        """The score above which images are anomalous at false-alarm rate ``alpha``, or at the model's own."""
        rate = self.metadata.calibration.max_false_alarms if alpha is None else alpha
        return calibration.threshold(self.calibration, rate, self.weights)

    def heat_threshold(self, alpha: float | None = None) -> float:
        """The value of heatmaps above which a place is anomalous.

        At rate ``alpha``, or the model's own, a good image has a region above it. Of files that hold no peaks
        it is the threshold of scores, which promises nothing of regions.
        """
        peaks = self.metadata.peaks
        if peaks is None:
            return self.threshold(alpha)
        rate = self.metadata.calibration.max_false_alarms if alpha is None else alpha
        return calibration.threshold(np.asarray(peaks.scores), rate, peaks.weights())

    def heat_range(self, alpha: float | None = None) -> tuple[float, float]:
        """Values of heatmaps at which color begins, that of every second good image, and at which it is full.

        The threshold lies in the middle.
        """
        held_out = self.metadata.peaks or self.metadata.calibration
        low, limit = float(np.median(held_out.scores)), self.heat_threshold(alpha)
        return (low, 2 * limit - low) if limit > low else (limit, limit + max(abs(limit), 1e-6))

    def p_value(self, score: float) -> float:
        """The share of good images that score as high, from the calibration scores."""
        return float(calibration.p_values(self.calibration, np.array([score]), self.weights)[0])

    def objection(self, pixels: NDArray[np.uint8]) -> str:
        """Why an image ``(H, W, C)`` of the model's size cannot be judged (blank, dark, blurred …), or ""."""
        return frames.objection(frames.measure(blanked(pixels, self.inside)), self.metadata.frames)

    def infer(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Raw scores ``(N,)`` and heatmaps ``(N, h, w)`` of ``images`` ``(N, H, W, C)`` of the model's size.

        Raises:
            ModelError: onnxruntime fails, or the graph gives other shapes than it declares.
        """
        try:
            with self._turn:
                scores, heatmaps = self._session.run(["score", "heatmap"], {"images": images})
        except Exception as error:  # onnxruntime's classes share no base but this
            raise ModelError(f"the model could not be run: {in_words(error)}") from error
        count = len(images)
        if scores.shape != (count,) or heatmaps.shape != (count, *self.metadata.heatmap):
            raise ModelError(
                f"the model gave scores {scores.shape} and heatmaps {heatmaps.shape} for {count} images,"
                " which is not what it declares"
            )
        return scores, heatmaps

    @overload
    def score(
        self, images: Image, *, alpha: float | None = None, options: ReadOptions = DEFAULTS
    ) -> Result: ...

    @overload
    def score(
        self, images: Images, *, alpha: float | None = None, options: ReadOptions = DEFAULTS
    ) -> list[Result]: ...

    def score(
        self, images: Image | Images, *, alpha: float | None = None, options: ReadOptions = DEFAULTS
    ) -> Result | list[Result]:
        """Judge one image (a path, a Pillow image, or an array of any size), or each of several.

        Arrays are uint8 ``(H, W)`` or ``(H, W, C)``, with channels in the order red, green, blue. OpenCV's
        frames have blue first; ``frame[..., ::-1]`` reverses them. Pillow images must have 8 bits a channel;
        their EXIF orientation is applied. Several images are a sequence, or one array ``(N, H, W, C)``.
        ``alpha`` is the highest false-alarm rate, by default the model's own.

        Raises:
            ImageError: an image cannot be read; the message says which and why.
            ModelError: the model gave a score that is not a number.
        """
        if isinstance(images, Path | str):
            return self._judge(self._read(images, options), alpha, Path(images))
        if isinstance(images, PIL.Image.Image):
            return self._judge(_from_pillow(images, self.metadata.input), alpha)
        if isinstance(images, np.ndarray) and images.ndim < 4:
            return self._judge(resize(images, self.metadata.input), alpha)
        return [self.score(image, alpha=alpha, options=options) for image in images]

    def _read(self, path: Path | str, options: ReadOptions) -> NDArray[np.uint8]:
        try:
            return load_image(path, self.metadata.input, options).pixels
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from error

    def _judge(self, pixels: NDArray[np.uint8], alpha: float | None, path: Path | None = None) -> Result:
        scores, heatmaps = self.infer(pixels[None])
        score, limit = float(scores[0]), self.threshold(alpha)
        if not np.isfinite(score):
            raise ModelError(f"the model gave the score {score}, which is no verdict")
        return Result(
            score,
            self.p_value(score),
            score > limit,
            self.objection(pixels),
            heatmaps[0],
            limit,
            self.heat_range(alpha),
            self.metadata.input,
            path,
        )


def _from_pillow(image: PIL.Image.Image, spec: InputSpec) -> NDArray[np.uint8]:
    """The pixels ``(H, W, C)`` of a Pillow image of the caller, which is not changed."""
    if image.mode.startswith(("I", "F")):
        raise ImageError(
            f"a Pillow image of mode {image.mode!r} does not say how many of its bits are used: give the path"
            " of its file, or an array of 8 bits"
        )
    try:
        return resize(ImageOps.exif_transpose(image), spec)
    except Exception as error:  # Pillow decodes only now, and a decoder may raise anything
        raise ImageError(f"the Pillow image cannot be read: {error}") from error
