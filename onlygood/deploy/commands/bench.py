"""`onlygood bench`: how fast a model is on this device, by which threads, and what to use."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import typer

from onlygood import __version__
from onlygood.deploy.advice import advise, best, ways
from onlygood.deploy.clock import source_date
from onlygood.deploy.destination import check_output, passed_on
from onlygood.deploy.machine import Machine, load
from onlygood.deploy.messages import speaker
from onlygood.deploy.opening import opened
from onlygood.deploy.options.edge import BenchOptions
from onlygood.deploy.scenes import write_scenes
from onlygood.deploy.trials import STAGES, Found, Task, attempt
from onlygood.deploy.tuned import About, Batch, Pictures, Spread, Stages, Tuned, Way
from onlygood.deploy.use import Use
from onlygood.runtime import jsontext
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.images.files import as_on_disk, find_images, printable
from onlygood.runtime.images.formats import HEAD, format_of
from onlygood.runtime.images.memory import Budget
from onlygood.runtime.images.reader import DEFAULT_MAX_PIXELS, ReadOptions, load_image, read_bytes
from onlygood.runtime.images.spec import InputSpec
from onlygood.runtime.model.modelfile import ModelFile
from onlygood.runtime.model.rewrite import graph_sha256
from onlygood.runtime.model.session import available_providers

_MOST_IMAGES = 32  # that are measured on; of more, evenly spread ones are taken
_ROUNDS = 3  # in which the ways take turns, so that what else the machine does hits all alike
_SIZES = (1, 2, 4, 8)  # of batches
_REMOTE = {"azure"}  # asks a server


def run(options: BenchOptions) -> int:
    """Measure, say what to use, and write it."""
    say, date = speaker(quiet=options.quiet), source_date()
    if options.output is not None:
        check_output(options.output, inputs=[options.model])
    file, machine, busy = opened(options), Machine.here(), load()
    providers = _providers(options.provider)
    reader = ReadOptions(options.max_pixels or DEFAULT_MAX_PIXELS, Budget.of(options.max_memory))
    with tempfile.TemporaryDirectory(prefix="onlygood-bench-") as folder:
        found = passed_on(find_images(map(as_on_disk, options.paths or [])), options.output)
        paths = list(found) if options.paths else write_scenes(Path(folder))
        images, pictures = _readable(paths, file.metadata.input, reader, generated=not options.paths, say=say)
        bench = _Bench(options, file, [image.absolute() for image in images], say)
        tried = bench.ways(ways(machine.cpus, providers, options.workers, options.threads))
        if all(way.failed for way in tried):
            raise OnlygoodError(f"nothing could be measured: {tried[0].failed}")
        use = best(tried).use
        stages, batches = bench.stages(use), bench.batches(use)
    side = file.metadata.input
    tuned = Tuned(
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() if date is None else date)),
        onlygood=__version__,
        model=About(name=file.metadata.name, graph_sha256=graph_sha256(file.data)),
        machine=machine,
        load=busy,
        pictures=pictures,
        use=use,
        advice=list(
            advise(
                tried,
                stages,
                batches,
                quantized=file.metadata.quantization is not None,
                side=(side.width, side.height),
                load=busy,
                cpus=machine.cpus,
            )
        ),
        stages=stages,
        ways=tried,
        batches=batches,
    )
    text = jsontext.dumps(tuned.model_dump(mode="json"), indent=2) + "\n"
    if options.output is not None:
        write_atomically(options.output.resolve(), text.encode())
    typer.echo(text.rstrip() if options.json else "\n".join(_lines(options, file, tuned)))
    return 0


def _providers(wanted: str | None) -> list[str]:
    """The execution providers to try: the one that was asked for, or all that compute on this machine.

    Raises:
        OnlygoodError: it is not there.
    """
    there = available_providers()
    if wanted is None:
        return sorted(set(there) - _REMOTE, key=lambda name: name != "cpu")
    if wanted.lower() not in there:
        raise OnlygoodError(f"no execution provider {wanted!r} here; available: {', '.join(there)}")
    return [wanted.lower()]


def _readable(
    paths: Sequence[Path],
    spec: InputSpec,
    reader: ReadOptions,
    *,
    generated: bool,
    say: Callable[[str], None],
) -> tuple[list[Path], Pictures]:
    """Those of the images, evenly spread, that can be read; and what they are.

    Raises:
        OnlygoodError: there are none.
    """
    if not paths:
        raise OnlygoodError("no images found; give image files or folders, or none to measure with made ones")
    count = min(len(paths), _MOST_IMAGES)
    images, kinds = [], Counter[str]()
    for path in (paths[number * len(paths) // count] for number in range(count)):
        try:
            content = read_bytes(path, reader)
            image = load_image(content, spec, reader)
        except ImageError as error:
            say(f"{printable(path)}: {printable(str(error))}; left out")
            continue
        images.append(path)
        kinds[f"{format_of(content[:HEAD])} {image.width} x {image.height}"] += 1
    if not images:
        raise OnlygoodError(f"none of {count} images can be read")
    return images, Pictures(
        count=len(images),
        generated=generated,
        kinds=dict(kinds.most_common()),
        unreadable=count - len(images),
    )


@dataclass(frozen=True)
class _Bench:
    """One model on some images."""

    options: BenchOptions
    file: ModelFile
    images: list[Path]
    say: Callable[[str], None]

    @property
    def model(self) -> Path:
        """Where the file lies, for other processes."""
        return self.options.model.absolute()

    def ways(self, uses: Sequence[Use]) -> list[Way]:
        """Try each use in every round."""
        found: dict[str, list[Found]] = {use.typed(): [] for use in uses}
        for number in range(_ROUNDS):
            for use in uses:
                rounds = found[use.typed()]
                if any(one.failed for one in rounds):
                    continue
                self.say(f"round {number + 1} of {_ROUNDS}: {use.typed()}")
                rounds.append(attempt(self._task(use), self.model, self.images))
        return [way_of(use, found[use.typed()]) for use in uses]

    def stages(self, use: Use) -> Stages | None:
        """Where the time of an image goes, one at a time, by one thread."""
        self.say("one image at a time: reading, decoding, resizing, inference")
        task = self._task(Use(workers=1, provider=use.provider), stages=True)
        found = attempt(task, self.model, self.images)
        if found.failed:
            return None
        spreads = {name: spread(found.milliseconds[name]) for name in STAGES}
        return Stages(images=found.images, **spreads)

    def batches(self, use: Use) -> list[Batch]:
        """Inference alone of several images at once, with the threads of ``use``."""
        self.say(f"batches of {', '.join(map(str, _SIZES))}")
        found = attempt(self._task(use, batches=_SIZES), self.model, self.images)
        return [Batch(size=int(size), ms_per_image=time) for size, time in found.batches.items()]

    def _task(self, use: Use, *, stages: bool = False, batches: tuple[int, ...] = ()) -> Task:
        return Task(
            workers=use.workers,
            threads=use.threads,
            provider=use.provider,
            seconds=self.options.seconds / (len(batches) or (1 if stages else _ROUNDS)),
            max_pixels=self.options.max_pixels or DEFAULT_MAX_PIXELS,
            max_memory=self.options.max_memory,
            stages=stages,
            batches=batches,
            sha256=self.file.sha256,
        )


def way_of(use: Use, rounds: Sequence[Found]) -> Way:
    """What the rounds of one way come to."""
    for found in rounds:
        if found.failed:
            return Way(use=use, failed=found.failed[:2000])
    rates = [found.images / found.seconds for found in rounds]
    times = [time for found in rounds for time in found.milliseconds["total"]]
    peaks = [found.peak_mb for found in rounds if found.peak_mb is not None]
    return Way(
        use=use,
        images_per_second=median(rates),
        lowest=min(rates),
        highest=max(rates),
        image_ms=spread(times),
        images=len(times),
        peak_mb=max(peaks, default=None),
        start_ms=median(found.start_ms for found in rounds),
    )


def spread(times: Sequence[float]) -> Spread:
    """The median and the 95th percentile of ``times``."""
    p50, p95 = np.percentile(times, [50, 95])
    return Spread(p50=float(p50), p95=float(p95))


# --- words


def _lines(options: BenchOptions, file: ModelFile, tuned: Tuned) -> Iterator[str]:
    spec, machine, pictures = file.metadata.input, tuned.machine, tuned.pictures
    kinds = ", ".join(f"{count} {kind}" for kind, count in pictures.kinds.items())
    yield f"{printable(tuned.model.name)}, {spec.width} x {spec.height} px, on {printable(machine.processor)}"
    cpus = f"{machine.cpus} {'CPU' if machine.cpus == 1 else 'CPUs'}"
    yield f"{cpus}, {printable(machine.system)}, onnxruntime {machine.onnxruntime}"
    made = "made for this; give some of your own for their numbers" if pictures.generated else "yours"
    yield f"images: {kinds} ({made})"
    if tuned.stages is not None:
        yield ""
        yield f"one image at a time, ms{'p50':>27}{'p95':>10}"
        for name in STAGES:
            times: Spread = getattr(tuned.stages, name)
            yield f"  {name:<32}{times.p50:>16.2f}{times.p95:>10.2f}"
    yield ""
    yield f"{'images at once, threads, provider':<34}{'images/s':>10}{'ms p50':>9}{'ms p95':>9}{'peak MB':>9}"
    for way in tuned.ways:
        label = f"  {way.use.workers} x {way.use.threads} {way.use.provider}"
        if way.failed:
            yield f"{label:<34}  failed"
            continue
        memory = "" if way.peak_mb is None else f"{way.peak_mb:.0f}"
        times = way.image_ms
        mark = "  *" if way.use == tuned.use else ""
        yield (
            f"{label:<34}{way.images_per_second:>10.1f}{times.p50:>9.1f}{times.p95:>9.1f}{memory:>9}{mark}"
        )
    if tuned.batches:
        yield ""
        yield f"inference of several at once with --threads {tuned.use.threads}, ms an image"
        yield "  " + ", ".join(f"{batch.size}: {batch.ms_per_image:.2f}" for batch in tuned.batches)
    yield ""
    yield from (printable(words) for words in tuned.advice)
    if options.output is not None:
        name = printable(options.output)
        yield f"wrote {name}: `onlygood score --tuned {name}` runs so, and so do check and watch"
