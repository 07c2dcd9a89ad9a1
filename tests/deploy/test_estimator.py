"""``OnlyGood`` as scikit-learn wants it: its own checks, pipelines, clones and pickles; on images."""

import io
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks as checks

import onlygood
from onlygood import Detector, OnlyGood
from onlygood.anomaly.auto import Choice
from onlygood.runtime.errors import OnlygoodError

SIDE = 64
SMALL = {
    "training.batch_size": 8,
    "training.precision": "fp32",
    "training.threads": 1,
}


def textures(count: int, seed: int = 0) -> np.ndarray:
    """Grained stripes ``(N, SIDE, SIDE)``."""
    rng = np.random.default_rng(seed)
    stripes = 30 * np.sin(np.arange(SIDE) / 3)
    return (120 + stripes + rng.normal(0, 6, (count, SIDE, SIDE))).clip(0, 255).astype(np.uint8)


def estimator(**values: object) -> OnlyGood:
    return OnlyGood(**{"recipe": "fast", "steps": 2, "max_false_alarms": 0.1, "changes": SMALL, **values})  # type: ignore[arg-type]


def _inner(images: np.ndarray) -> np.ndarray:
    return images[:, 16:-16, 16:-16]


def framed(images: np.ndarray, value: int) -> np.ndarray:
    """With a border that says nothing of the part."""
    return np.pad(images, ((0, 0), (16, 16), (16, 16)), constant_values=value)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """One that cuts borders off first; the cache of decoded images is left alone."""
    found = Pipeline([("crop", FunctionTransformer(_inner)), ("detect", estimator())])
    cache = tmp_path_factory.mktemp("home") / "cache"
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONLYGOOD_CACHE", str(cache))
        warnings.simplefilter("ignore", UserWarning)  # two steps teach nothing, and that is said
        assert found.fit(framed(textures(40), 255)) is found
    assert not cache.exists()
    return found


@pytest.fixture
def fitted(pipeline: Pipeline) -> OnlyGood:
    found: OnlyGood = pipeline[-1]
    return found


CHECKS = [
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_estimators_unfitted",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
]


def test_scikit_learns_own_check_passes_and_says_that_images_are_no_table() -> None:
    with pytest.warns(SkipTestWarning, match="three_d_array=True"):
        checks.check_estimator(OnlyGood())


@pytest.mark.parametrize("name", CHECKS)
def test_scikit_learns_checks_that_need_no_table(name: str) -> None:
    getattr(checks, name)("OnlyGood", OnlyGood())


def test_the_default_is_the_command_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe that suits the images; here the images are those that the choice is told of."""
    told: list[int] = []

    def choose(paths: list[Path]) -> Choice:
        told.append(len(paths))
        return Choice("no-such-recipe", "because")

    monkeypatch.setattr("onlygood.anomaly.auto.choose_recipe", choose)
    with pytest.raises(OnlygoodError, match="no-such-recipe"):
        OnlyGood().fit(textures(7))
    assert told == [7]
    assert "OnlyGood" in onlygood.__all__


@pytest.mark.filterwarnings("ignore:.*are unusable:UserWarning")
def test_signs_and_thresholds_agree(fitted: OnlyGood) -> None:
    images = textures(6, 1)
    images[3:] = 255 - images[3:] // 3
    scores = fitted.score_samples(images)
    assert scores.shape == (6,)
    assert scores == pytest.approx([-result.score for result in fitted.detector_.score(list(images))], abs=0)
    assert fitted.decision_function(images) == pytest.approx(scores - fitted.offset_, abs=0)
    expected = [-1 if result.anomalous else 1 for result in fitted.detector_.score(list(images))]
    assert fitted.predict(images).tolist() == expected
    assert set(expected[3:]) == {-1}


def test_an_image_at_the_threshold_is_good(fitted: OnlyGood, monkeypatch: pytest.MonkeyPatch) -> None:
    image = textures(1, 2)
    monkeypatch.setattr(fitted, "offset_", float(fitted.score_samples(image)[0]))
    assert fitted.predict(image).tolist() == [1]


def test_neither_order_nor_company_matters(fitted: OnlyGood) -> None:
    images = textures(5, 3)
    whole = fitted.score_samples(images)
    assert fitted.score_samples(images[::-1]).tolist() == whole[::-1].tolist()
    assert fitted.score_samples(images[2:3]).tolist() == whole[2:3].tolist()


def test_scoring_and_cloning_change_nothing(fitted: OnlyGood) -> None:
    before = {name: value for name, value in vars(fitted).items() if name != "detector_"}
    fitted.predict(textures(1))
    assert {name: value for name, value in vars(fitted).items() if name != "detector_"} == before
    twin = clone(fitted)
    assert twin.get_params() == fitted.get_params()
    assert not hasattr(twin, "detector_")


def test_pictures_come_in_every_form(fitted: OnlyGood, tmp_path: Path) -> None:
    images = textures(3, 4)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image).save(path)
    expected = fitted.score_samples(images).tolist()
    forms = [
        images[..., None],
        list(images),
        [Image.fromarray(image) for image in images],
        paths,
        [str(path) for path in paths],
        np.array([str(path) for path in paths]),
        np.array(paths, dtype=object),
    ]
    for form in forms:
        assert fitted.score_samples(form).tolist() == expected


def test_it_survives_a_pickle_and_is_saved_as_a_model_file(fitted: OnlyGood, tmp_path: Path) -> None:
    images = textures(2, 5)
    buffer = io.BytesIO()
    pickle.dump(fitted, buffer)
    again = pickle.loads(buffer.getvalue())  # noqa: S301
    assert again.score_samples(images).tolist() == fitted.score_samples(images).tolist()
    fitted.save(tmp_path / "model.onnx")
    scores = [-result.score for result in Detector.load(tmp_path / "model.onnx").score(list(images))]
    assert scores == fitted.score_samples(images).tolist()


def test_a_notebook_sees_parameters_and_the_promise(fitted: OnlyGood) -> None:
    html = fitted._repr_mimebundle_()["text/html"]
    assert "max_false_alarms" in html
    assert "at most 10.00% of good images are flagged" in html
    assert "held out" not in OnlyGood()._repr_mimebundle_()["text/html"]


@pytest.mark.filterwarnings("ignore:.*are unusable:UserWarning")
def test_it_is_the_end_of_a_pipeline_that_crops(pipeline: Pipeline) -> None:
    """Borders that differ from those of the training are cut off before anything is judged."""
    spec = pipeline[-1].detector_.metadata.input
    assert (spec.height, spec.width) == (SIDE, SIDE)
    images = textures(8, 6)
    images[4:, 10:50, 10:50] = 255 - images[4:, 10:50, 10:50] // 4
    found = pipeline.decision_function(framed(images, 0))
    assert found.tolist() == pipeline[-1].decision_function(images).tolist()
    assert roc_auc_score([1] * 4 + [0] * 4, found) > 0.9


def test_before_fitting_nothing_is_said_of_images() -> None:
    for method in ("predict", "score_samples", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(OnlyGood(), method)(textures(1))
    with pytest.raises(NotFittedError):
        OnlyGood().save("model.onnx")


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((3, 5)), r"array \(3, 5\) of float64 is no sequence of images"),
        (np.zeros((3, 8, 8)), "of float64 is no sequence"),
        ([], "no images to learn from"),
        (5, "a sequence of images is wanted, not int"),
        ([np.zeros((8, 8))], "of float64 is no image"),
        (Image.new("L", (8, 8)), "put it in a list"),
        (textures(5), "5 different good images are too few"),
    ],
)
def test_what_are_no_images_is_told_before_training(images: object, words: str) -> None:
    with pytest.raises(OnlygoodError, match=words):
        estimator().fit(images)


def test_one_path_is_no_sequence(fitted: OnlyGood) -> None:
    with pytest.raises(OnlygoodError, match="put it in a list"):
        fitted.predict("part.png")


def test_a_covered_lens_is_warned_of(fitted: OnlyGood) -> None:
    with pytest.warns(UserWarning, match="1 of 2 images are unusable"):
        fitted.predict([textures(1)[0], np.zeros((SIDE, SIDE), np.uint8)])
