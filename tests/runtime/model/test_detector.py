from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from time import sleep
from typing import Any

import numpy as np
import pytest
from PIL import Image

import onlygood
from onlygood.runtime.errors import ImageError, ModelError, OnlygoodError
from onlygood.runtime.images.reader import ReadOptions
from onlygood.runtime.model import detector as detector_module
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.session import available_providers, open_session
from onlygood.runtime.rows.stream import score_images
from onlygood.runtime.rows.verdicts import Row, Status

Gray = Callable[[str, int], Path]
MakeTiny = Callable[..., Path]


def test_one_image_by_hand(tiny: Path, gray: Gray) -> None:
    result = onlygood.Detector.load(tiny).score(gray("part.png", 230))
    assert result.score == pytest.approx(230 / 255)
    assert result.p_value == pytest.approx(1 / 20)  # above all 19 calibration scores
    assert result.anomalous
    assert result.heatmap == pytest.approx(np.full((2, 2), 230 / 255))


def test_heatmap_lies_where_the_image_is_bright(tiny: Path) -> None:
    image = np.zeros((8, 8), np.uint8)
    image[:4, 4:] = 255
    result = Detector.load(tiny).score(image)
    assert result.heatmap.tolist() == [[0, 1], [0, 0]]
    assert result.score == 0.25
    assert result.p_value == pytest.approx((1 + 14) / 20)  # 5/20 to 18/20 are as high; a tie counts
    assert not result.anomalous


def test_many_images_give_a_list_in_order(tiny: Path, gray: Gray) -> None:
    detector = Detector.load(tiny)
    paths = [gray(f"{value}.png", value) for value in (250, 0, 102)]
    from_paths = [result.score for result in detector.score(paths)]
    assert from_paths == pytest.approx([250 / 255, 0, 0.4])
    assert [result.score for result in detector.score([str(path) for path in paths])] == from_paths
    batch = np.array([250, 0, 102], np.uint8).reshape(3, 1, 1, 1).repeat(8, 1).repeat(8, 2)
    assert [result.score for result in detector.score(batch)] == from_paths
    assert detector.score([]) == []


def test_arrays_of_any_size_are_resized_as_files_are(tiny: Path) -> None:
    assert Detector.load(tiny).score(np.full((50, 31, 3), 51, np.uint8)).score == pytest.approx(0.2)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "LA", "1"])
def test_pillow_images_score_as_their_files(tiny: Path, tmp_path: Path, mode: str) -> None:
    detector = Detector.load(tiny)
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    path = tmp_path / "x.tif"
    Image.fromarray(noise).convert(mode).save(path)
    expected = detector.score(path)
    with Image.open(path) as image:
        before = (image.mode, image.info.copy())
        found = detector.score([image, image])
        assert (image.mode, image.info) == before
    assert [result.score for result in found] == [expected.score] * 2
    assert (found[0].heatmap == expected.heatmap).all()


def test_a_pillow_image_is_turned_upright(tiny: Path, tmp_path: Path) -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:4, 4:] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # by 180 degrees
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    with Image.open(tmp_path / "x.png") as image:
        assert Detector.load(tiny).score(image).heatmap.tolist() == [[0, 0], [1, 0]]


def test_pillow_images_that_cannot_be_read_are_errors_in_words(tiny: Path, tmp_path: Path) -> None:
    detector = Detector.load(tiny)
    for mode in ("I", "F", "I;16"):
        with pytest.raises(ImageError, match=rf"mode '{mode}' does not say how many of its bits are used"):
            detector.score(Image.new(mode, (8, 8)))
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:5000])
    with Image.open(path) as image, pytest.raises(ImageError, match="the Pillow image cannot be read"):
        detector.score(image)


def test_arrays_are_red_green_blue(make_tiny: MakeTiny) -> None:
    """The model takes grey: by ITU-R 601 red weighs 0.299 and blue 0.114."""
    detector, red = Detector.load(make_tiny()), np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    assert detector.score(red).score == pytest.approx(0.299, abs=0.002)
    assert detector.score(red[..., ::-1]).score == pytest.approx(0.114, abs=0.002)
    assert detector.score(Image.fromarray(red)).score == detector.score(red).score


def test_infer_takes_batches(tiny: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8)
    scores, heatmaps = Detector.load(tiny).infer(images)
    assert scores == pytest.approx(images.mean(axis=(1, 2, 3)) / 255)
    assert heatmaps == pytest.approx(images.reshape(5, 2, 4, 2, 4).mean(axis=(2, 4)) / 255)


def test_the_rate_moves_the_threshold(tiny: Path) -> None:
    detector = Detector.load(tiny)
    assert detector.threshold() == 0.85
    assert detector.threshold(0.05) == 0.9
    image = np.full((8, 8), 224, np.uint8)  # 0.878
    assert detector.score(image).anomalous
    assert not detector.score(image, alpha=0.05).anomalous
    with pytest.raises(OnlygoodError, match=r"smallest rate that these allow is 0\.05"):
        detector.threshold(0.01)


def test_a_score_that_is_no_number_is_no_verdict(make_tiny: MakeTiny) -> None:
    with pytest.raises(ModelError, match="nan, which is no verdict"):
        Detector.load(make_tiny(score="ratio")).score(np.zeros((8, 8), np.uint8))


def test_errors_name_the_image(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        Detector.load(tiny).score(tmp_path / "gone.png")


def test_wrong_input_is_an_error_in_words(tiny: Path) -> None:
    with pytest.raises(ModelError, match="could not be run"):
        Detector.load(tiny).infer(np.zeros((1, 9, 8, 1), np.uint8))


@pytest.mark.parametrize("data", [b"", b"not a model", b"\x08\x0a" * 50])
def test_what_onnxruntime_cannot_load_is_an_error_in_words(data: bytes) -> None:
    with pytest.raises(ModelError, match="onnxruntime cannot load the model"):
        open_session(data)


def test_an_absent_provider_is_never_replaced(tiny: Path) -> None:
    assert "cpu" in available_providers()
    with pytest.raises(ModelError, match=r"no execution provider 'abacus' here; available: .*cpu"):
        Detector.load(tiny, provider="abacus")


def test_sha256_is_asked_of_the_bytes_that_run(tiny: Path) -> None:
    with pytest.raises(ModelError, match="SHA-256"):
        Detector.load(tiny, sha256="0" * 64)


# --- streams of images


def stream(detector: Detector, paths: Iterator[Path], workers: int = 2) -> Generator[Row, None, None]:
    spec = detector.metadata.input
    return score_images(detector, paths, 0.85, spec=spec, options=ReadOptions(), workers=workers)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_rows_keep_the_order_of_the_paths(tiny: Path, gray: Gray, workers: int) -> None:
    values = [int(value) for value in np.random.default_rng(1).integers(0, 256, 40)]
    paths = [gray(f"{index}.png", value) for index, value in enumerate(values)]
    rows = list(stream(Detector.load(tiny), iter(paths), workers))
    assert [row.path for row in rows] == paths
    assert [row.score for row in rows] == pytest.approx([value / 255 for value in values])
    assert [row.status is Status.ANOMALOUS for row in rows] == [value > 216 for value in values]
    assert {(row.width, row.height) for row in rows} == {(8, 8)}


def test_an_endless_stream_is_read_only_a_few_images_ahead(tiny: Path, gray: Gray) -> None:
    path, taken = gray("a.png", 51), 0

    def endless() -> Iterator[Path]:
        nonlocal taken
        while True:
            taken += 1
            yield path

    rows = stream(Detector.load(tiny), endless(), workers=3)
    for count in range(1, 200):
        assert next(rows).score == pytest.approx(0.2)
        assert taken <= count + 2 * 3
    rows.close()


def test_as_many_images_are_inferred_at_once_as_there_are_workers(tiny: Path, gray: Gray) -> None:
    detector, together = Detector.load(tiny), Barrier(3)
    infer = detector.infer

    def waiting(images: Any) -> Any:
        together.wait(timeout=60)  # for ever, were they inferred one after the other
        return infer(images)

    detector.infer = waiting  # type: ignore[method-assign]
    paths = [gray(f"{index}.png", 40 * index) for index in range(6)]
    rows = list(stream(detector, iter(paths), workers=3))
    assert [row.score for row in rows] == pytest.approx([40 * index / 255 for index in range(6)])


def test_inferences_of_an_accelerator_take_turns(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = open_session(tiny.read_bytes())
    inside, most = [0], [0]

    class Counting:
        get_inputs, get_outputs = session.get_inputs, session.get_outputs

        def run(self, *arguments: Any) -> Any:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            sleep(0.001)
            inside[0] -= 1
            return session.run(*arguments)

    monkeypatch.setattr(detector_module, "open_session", lambda *_, **__: Counting())
    image = np.zeros((1, 8, 8, 1), np.uint8)
    accelerated = Detector.load(tiny, provider="cuda")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: accelerated.infer(image), range(40)))
    assert most == [1]


def test_bad_images_are_rows_with_reasons(make_tiny: MakeTiny, gray: Gray, tmp_path: Path) -> None:
    detector = Detector.load(make_tiny(score="ratio"))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    paths = [broken, gray("black.png", 0), tmp_path / "gone.png", gray("good.png", 51)]
    rows = list(stream(detector, iter(paths)))
    assert [row.status for row in rows] == [Status.ERROR] * 3 + [Status.NORMAL]
    assert rows[0].error.startswith("text, no picture")
    assert rows[1].error == "the model gave the score nan, which is no verdict"
    assert (rows[1].score, rows[1].p_value) == (None, None)
    assert rows[2].error.startswith("no such file")
