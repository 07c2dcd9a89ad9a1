"""``OnlyGood``: fitting and scoring with the interface of scikit-learn, on images instead of tables."""

import tempfile
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from onlygood.anomaly.auto import AUTO, resolve_recipe
from onlygood.anomaly.data.datasets import discover
from onlygood.anomaly.data.samples import Dataset, Sample
from onlygood.anomaly.fit import fit
from onlygood.deploy.export import export
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.result import Result


class OnlyGood(OutlierMixin, BaseEstimator):  # type: ignore[misc]
    """A detector that is fitted on good images, as an outlier detector of scikit-learn.

    Examples:
        >>> model = OnlyGood(recipe="fast").fit("parts/good")
        >>> model.predict(["new/1.png", "new/2.png"])  # 1 good, -1 anomalous
        >>> model.save("model.onnx")

    Signs are those of scikit-learn: higher is more normal, in ``score_samples`` and ``decision_function``
    alike; ``detector_.score`` has the scores, p-values and heatmaps of the command line. The threshold is
    that of the promised false-alarm rate, for which some of the images are held out.

    Images are a sequence of paths, of Pillow images or of uint8 arrays ``(H, W)`` or ``(H, W, C)`` with red
    first; one array ``(N, H, W)`` or ``(N, H, W, C)``; or, for ``fit`` alone, a folder or list that
    `onlygood fit` takes.

    Args:
        recipe: a recipe that comes along, or a YAML file; by default the one that suits the images.
        max_false_alarms: the promise; None: the recipe's.
        steps: of training; None: the recipe's.
        random_state: seed of everything that is random.
        changes: keys of the recipe and their values, as ``--set`` changes them.
        verbose: whether to show progress.
    """

    detector_: Detector
    offset_: float  # decision_function is score_samples less this

    def __init__(
        self,
        recipe: str = AUTO,
        *,
        max_false_alarms: float | None = None,
        steps: int | None = None,
        random_state: int = 0,
        changes: Mapping[str, Any] | None = None,
        verbose: bool = False,
    ) -> None:
        self.recipe = recipe
        self.max_false_alarms = max_false_alarms
        self.steps = steps
        self.random_state = random_state
        self.changes = changes
        self.verbose = verbose

    def fit(self, X: Any, y: object = None) -> Self:
        """Learn from good images ``X``; ``y`` is not looked at.

        Raises:
            OnlygoodError: too few images, or ones that do not fit the recipe.
        """
        changes: dict[str, Any] = {"training.seed": self.random_state, **(self.changes or {})}
        if self.steps is not None:
            changes |= {"training.steps": self.steps, "training.minutes": None}
        with tempfile.TemporaryDirectory(prefix="onlygood-") as folder:
            work = Path(folder)
            good, cache = _good(X, work / "images")
            recipe, _ = resolve_recipe(self.recipe, good, changes)
            fitted = fit(
                recipe,
                good,
                work / "work",
                rate=self.max_false_alarms,
                progress=self.verbose,
                cache=cache,
            )
            export(fitted, work / "model.onnx")
            self.detector_ = Detector.load(work / "model.onnx")
        self.offset_ = -self.detector_.threshold()
        for words in fitted.training.warnings:
            warnings.warn(words, stacklevel=2)
        return self

    def score_samples(self, X: Any) -> NDArray[np.float64]:
        """How normal each image is, ``(n,)``: the negative of its anomaly score.

        Raises:
            ImageError: an image cannot be read; the message says which and why.
        """
        return np.array([-result.score for result in self._results(X)])

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """How far each image is from the threshold, ``(n,)``: negative where it is anomalous."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """1 for each image that is good and -1 for each that is not, ``(n,)``."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def save(self, path: Path | str) -> None:
        """Write the model file, which the command line and ``Detector.load`` read."""
        check_is_fitted(self)
        write_atomically(Path(path), self.detector_.file.data)

    def _results(self, images: Any) -> list[Result]:
        check_is_fitted(self)
        results = [self.detector_.score(image) for image in _each(images)]
        if odd := [result.unusable for result in results if result.unusable]:
            warnings.warn(
                f"{len(odd)} of {len(results)} images are unusable ({odd[0]}): what is said of them may be "
                "wrong",
                stacklevel=3,
            )
        return results

    def _html_repr(self) -> str:
        plain: str = super()._html_repr()
        return plain + (self.detector_._repr_html_() if hasattr(self, "detector_") else "")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.no_validation = True  # by scikit-learn's functions, which know tables alone
        return tags


def _each(images: Any) -> list[Any]:
    """The images one by one.

    Raises:
        OnlygoodError: one image or one path where several are wanted, or a table.
    """
    if isinstance(images, str | Path | PIL.Image.Image):
        raise OnlygoodError(
            f"a sequence of images is wanted, not one {type(images).__name__}: put it in a list"
        )
    if isinstance(images, np.ndarray) and images.dtype != object:
        if images.dtype.kind in "US":
            return images.ravel().tolist()
        if images.ndim not in (3, 4) or images.dtype != np.uint8:
            raise OnlygoodError(
                f"an array {images.shape} of {images.dtype} is no sequence of images: uint8 (N, H, W) or "
                "(N, H, W, C) is wanted"
            )
    if not isinstance(images, Iterable):
        raise OnlygoodError(f"a sequence of images is wanted, not {type(images).__name__}")
    return list(images)


def _good(images: Any, folder: Path) -> tuple[Dataset, Path | None]:
    """What to learn from, and where decoded images are kept if not where they are always.

    Images that are in no file are written into ``folder`` first, without loss, so that they are read by the
    code that reads all others.
    """
    if isinstance(images, str | Path):
        return discover(Path(images), part="train"), None
    items = _each(images)
    if not items:
        raise OnlygoodError("there are no images to learn from")
    paths, pictured = [], False
    folder.mkdir()
    for number, item in enumerate(items):
        if isinstance(item, str | Path):
            paths.append(Path(item))
            continue
        pictured = True
        paths.append(folder / f"{number:07d}.png")
        picture = item if isinstance(item, PIL.Image.Image) else PIL.Image.fromarray(_squeezed(item))
        picture.save(paths[-1])
    samples = tuple(Sample(path, 0) for path in sorted(set(paths)))
    words = f"{len(samples)} images"
    return Dataset(samples, "list", words, paths[0].parent, labeled=False), folder if pictured else None


def _squeezed(image: Any) -> NDArray[np.uint8]:
    """An array as Pillow takes it: gray images have no axis of channels."""
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise OnlygoodError(
            f"an array {pixels.shape} of {pixels.dtype} is no image: uint8 (H, W) or (H, W, C) is wanted"
        )
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
