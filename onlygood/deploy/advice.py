"""What numbers of `bench` recommend, in words."""

from collections.abc import Iterator, Sequence

from onlygood.deploy.tuned import Batch, Stages, Way
from onlygood.deploy.use import Use

_AS_GOOD = 0.95  # of the fastest: the rest is noise, and the simplest of these is taken
_WORTH_IT = 1.1  # times
_NOISY = 1.25  # times that rounds of one way may differ
_BUSY = 0.25  # load for each CPU, from which on other processes were measured too
_MOST = 0.6  # share of an image's time that is worth a word


def counts(cpus: int) -> list[int]:
    """How many threads are tried: 1, 2, 4 and so on, up to all CPUs."""
    doubled = [2**power for power in range(cpus.bit_length()) if 2**power < cpus]
    return [*doubled, cpus]


def ways(cpus: int, providers: Sequence[str], workers: int | None, threads: int | None) -> list[Use]:
    """What to try. Of ``cpus``, threads of one inference take some, and images at once the rest.

    Inferences of accelerators take turns, and have no use for threads of the processor.
    """
    found = []
    for provider in providers:
        for count in [threads] if threads else counts(cpus) if provider == "cpu" else [1]:
            at_once = {1, max(1, cpus // count)} if workers is None else {workers}
            found += [Use(workers=many, threads=count, provider=provider) for many in sorted(at_once)]
    return found


def best(tried: Sequence[Way]) -> Way:
    """The simplest of the ways that are as fast as the fastest, give or take 5 %."""
    working = [way for way in tried if not way.failed]
    limit = _AS_GOOD * max(way.images_per_second for way in working)
    return min(
        (way for way in working if way.images_per_second >= limit),
        key=lambda way: (
            way.use.provider != "cpu",
            way.use.workers * way.use.threads,
            way.use.threads,
            -way.images_per_second,
        ),
    )


def soonest(tried: Sequence[Way]) -> Way | None:
    """The simplest way that judges one image at a time as soon as any does, at the 95th percentile."""
    alone = [way for way in tried if not way.failed and way.use.workers == 1]
    limit = min((way.image_ms.p95 for way in alone), default=0.0) / _AS_GOOD
    return min(
        (way for way in alone if way.image_ms.p95 <= limit),
        key=lambda way: (way.use.provider != "cpu", way.use.threads),
        default=None,
    )


def advise(
    tried: Sequence[Way],
    stages: Stages | None,
    batches: Sequence[Batch],
    *,
    quantized: bool,
    side: tuple[int, int],
    load: float | None,
    cpus: int,
) -> Iterator[str]:
    """Sentences, the most useful first.

    Args:
        tried: all ways.
        stages: where the time of an image goes.
        batches: inference of several images at once.
        quantized: whether the model is in few bits already.
        side: width and height of the model's input.
        load: of the machine when the measurement began.
        cpus: that may be used.
    """
    chosen = best(tried)
    rate = f"{chosen.images_per_second:.3g} images/s{_gain(tried, chosen)}"
    yield f"for many images: {chosen.use.typed()} ({rate})"
    single = soonest(tried)
    if single is not None and single.use != chosen.use:
        yield (
            f"where one image at a time must be judged soon: {single.use.typed()} (95 % of the images within"
            f" {single.image_ms.p95:.3g} ms)"
        )
    if stages is not None:
        yield from _about_stages(stages, quantized=quantized, side=side)
    yield from _about_batches(batches)
    for way in tried:
        if way.failed:
            yield f"{way.use.typed()} does not work: {way.failed}"
    yield from _about_noise(tried, load, cpus)


def _gain(tried: Sequence[Way], chosen: Way) -> str:
    plain = Use(workers=1, threads=1, provider=chosen.use.provider)
    one = next((way for way in tried if way.use == plain and not way.failed), None)
    if one is None or one is chosen:
        return ""
    return f", {chosen.images_per_second / one.images_per_second:.2f} times as many as one at a time"


def _about_stages(stages: Stages, *, quantized: bool, side: tuple[int, int]) -> Iterator[str]:
    prepared = stages.read.p50 + stages.decode.p50 + stages.resize.p50
    whole = max(prepared + stages.inference.p50, 1e-9)
    if prepared / whole >= _MOST:
        yield (
            f"{prepared / whole:.0%} of an image's time goes into reading, decoding and resizing it: smaller"
            f" pictures would help more than a faster model, which sees {side[0]} x {side[1]} px; JPEG"
            " decodes faster than PNG"
        )
    elif stages.inference.p50 / whole >= _MOST and not quantized:
        yield (
            f"{stages.inference.p50 / whole:.0%} of an image's time goes into inference: `onlygood quantize`"
            " makes it faster where the processor has 8-bit dot products"
        )


def _about_batches(batches: Sequence[Batch]) -> Iterator[str]:
    single = next((batch for batch in batches if batch.size == 1), None)
    if single is None or len(batches) < 2:
        return
    fastest = min(batches, key=lambda batch: batch.ms_per_image)
    gain = single.ms_per_image / max(fastest.ms_per_image, 1e-9)
    if gain >= _WORTH_IT:
        yield (
            f"inference of {fastest.size} images at once is {gain:.2f} times as fast: a program of yours can"
            " have it (`Detector.infer`); `score` runs images one by one, so that no score depends on others"
        )
    else:
        yield "batches gain nothing here: `score` does right to run images one by one"


def _about_noise(tried: Sequence[Way], load: float | None, cpus: int) -> Iterator[str]:
    shaky = any(way.highest > _NOISY * way.lowest for way in tried if not way.failed)
    if load is not None and load > _BUSY * cpus:
        yield f"the machine was busy (load {load:.1f} on {cpus} CPUs): measure again when it is idle"
    elif shaky:
        yield f"rounds of one way differ by more than {_NOISY - 1:.0%}: measure longer (--seconds), or again"
