"""What is tried, what is chosen of it, and what is said, on numbers made by hand."""

from collections.abc import Sequence
from typing import Any

import pytest

from onlygood.deploy.advice import advise, best, counts, soonest, ways
from onlygood.deploy.commands.bench import spread, way_of
from onlygood.deploy.trials import Found
from onlygood.deploy.tuned import Batch, Spread, Stages, Way
from onlygood.deploy.use import Use


def way(workers: int, threads: int, rate: float, p95: float = 10, provider: str = "cpu", **more: Any) -> Way:
    use = Use(workers=workers, threads=threads, provider=provider)
    times = Spread(p50=p95 / 2, p95=p95)
    values = {"lowest": rate, "highest": rate} | more
    return Way(use=use, images_per_second=rate, image_ms=times, **values)


def stages(read: float, decode: float, resize: float, inference: float) -> Stages:
    each = {
        "read": read,
        "decode": decode,
        "resize": resize,
        "inference": inference,
        "total": read + decode + resize + inference,
    }
    return Stages(images=9, **{name: Spread(p50=ms, p95=ms) for name, ms in each.items()})


def said(tried: Sequence[Way], **changes: Any) -> str:
    given = {"stages": None, "batches": [], "quantized": False, "side": (320, 256), "load": 0.0, "cpus": 2}
    return "\n".join(advise(tried, **(given | changes)))


def shapes(uses: Sequence[Use]) -> list[tuple[int, int, str]]:
    return [(use.workers, use.threads, use.provider) for use in uses]


@pytest.mark.parametrize(
    ("cpus", "found"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_threads_are_doubled_up_to_all_cpus(cpus: int, found: list[int]) -> None:
    assert counts(cpus) == found


def test_the_cpus_are_shared_between_threads_and_images() -> None:
    assert shapes(ways(4, ["cpu"], None, None)) == [
        (1, 1, "cpu"),
        (4, 1, "cpu"),
        (1, 2, "cpu"),
        (2, 2, "cpu"),
        (1, 4, "cpu"),
    ]
    assert shapes(ways(1, ["cpu"], None, None)) == [(1, 1, "cpu")]
    assert shapes(ways(2, ["cpu", "cuda"], None, None))[3:] == [(1, 1, "cuda"), (2, 1, "cuda")]


def test_what_was_typed_is_all_that_is_tried() -> None:
    assert shapes(ways(8, ["cpu"], 3, 2)) == [(3, 2, "cpu")]
    assert shapes(ways(4, ["cpu"], 3, None)) == [(3, 1, "cpu"), (3, 2, "cpu"), (3, 4, "cpu")]


def test_of_equally_fast_ways_the_simplest_is_chosen() -> None:
    one, many, threads = way(1, 1, 96), way(2, 1, 100), way(1, 2, 100)
    assert best([one, many, threads]) is one  # within 5 %
    one = way(1, 1, 94)
    assert best([threads, one, many]) is many  # fewer threads of one inference: no score waits for them
    assert best([way(1, 1, 100, provider="cuda"), way(2, 1, 97)]).use.provider == "cpu"
    assert best([way(1, 1, 200, provider="cuda"), way(2, 1, 97)]).use.provider == "cuda"


def test_what_does_not_work_is_never_chosen() -> None:
    broken = way(2, 1, 1000, failed="it computes other scores", provider="cuda")
    working = way(1, 1, 10)
    assert best([broken, working]) is working
    assert soonest([broken]) is None
    assert "-j 2 --threads 1 --provider cuda does not work: it computes other scores" in said(
        [broken, working]
    )


def test_one_image_soon_and_many_images_fast_are_told_apart() -> None:
    words = said([way(1, 1, 40, 25), way(2, 1, 75, 30), way(1, 2, 60, 14)])
    assert "for many images: -j 2 --threads 1 --provider cpu (75 images/s, 1.88 times" in words
    assert "-j 1 --threads 2 --provider cpu (95 % of the images within 14 ms)" in words
    assert "one image at a time must" not in said([way(1, 1, 40, 25)])
    assert "one image at a time must" not in said([way(1, 1, 40, 25), way(1, 2, 40, 24)])  # by chance


def test_where_the_time_goes_decides_what_would_help() -> None:
    tried = [way(1, 1, 40)]
    decoding = said(tried, stages=stages(1, 8, 1, 5))
    assert "67% of an image's time goes into reading, decoding and resizing" in decoding
    assert "which sees 320 x 256 px" in decoding
    inference = said(tried, stages=stages(1, 2, 1, 16))
    assert "80% of an image's time goes into inference: `onlygood quantize`" in inference
    assert "quantize" not in said(tried, stages=stages(1, 2, 1, 16), quantized=True)
    assert "time goes into" not in said(tried, stages=stages(1, 4, 0, 5))


def test_batches_are_worth_a_word_where_they_gain_a_tenth() -> None:
    single = Batch(size=1, ms_per_image=10)
    assert "inference of 8 images at once is 2.00 times as fast" in said(
        [way(1, 1, 1)], batches=[single, Batch(size=8, ms_per_image=5)]
    )
    assert "batches gain nothing here" in said(
        [way(1, 1, 1)], batches=[single, Batch(size=8, ms_per_image=9.5)]
    )
    assert "batches" not in said([way(1, 1, 1)])


def test_a_measurement_that_may_be_wrong_says_so() -> None:
    assert "the machine was busy (load 3.0 on 2 CPUs)" in said([way(1, 1, 40)], load=3.0)
    assert "busy" not in said([way(1, 1, 40)], load=0.2)
    assert "rounds of one way differ" in said([way(1, 1, 40, lowest=30, highest=40)])
    assert "differ" not in said([way(1, 1, 40, lowest=33, highest=40)])


def test_rounds_are_joined_by_their_median() -> None:
    def found(images: int, times: list[float], peak: float | None) -> Found:
        return Found(images=images, seconds=2, milliseconds={"total": times}, peak_mb=peak, start_ms=images)

    use = Use(workers=1)
    made = way_of(use, [found(20, [1, 2], 100), found(40, [3], 130), found(30, [4, 5], None)])
    assert (made.images_per_second, made.lowest, made.highest) == (15, 10, 20)
    assert (made.image_ms.p50, made.images, made.peak_mb, made.start_ms) == (3, 5, 130, 30)
    broken = way_of(use, [found(20, [1], 100), Found(failed="out of memory")])
    assert (broken.failed, broken.images_per_second) == ("out of memory", 0)


def test_the_95th_percentile() -> None:
    assert spread([float(ms) for ms in range(101)]) == Spread(p50=50, p95=95)
