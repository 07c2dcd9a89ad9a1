"""`onlygood probe`: what a frozen encoder has learned, measured on labeled images."""

import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onlygood.deploy.commands.common import SIDE, calm_openmp, fill_sections
from onlygood.deploy.comparison import print_table
from onlygood.deploy.destination import check_output
from onlygood.deploy.messages import speaker
from onlygood.deploy.options.probes import ProbeOptions
from onlygood.deploy.options.shared import MetricsFormat
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display, find_images
from onlygood.runtime.threads import available_cpus

if TYPE_CHECKING:
    from onlygood.pretrain.networks.base import Encoder
    from onlygood.pretrain.probe.result import EncoderInfo
    from onlygood.pretrain.views.views import Standardize

RANDOM = "random:"  # random:NAME is an untrained encoder, to compare with


def run(options: ProbeOptions) -> int:
    """Run one protocol, print its numbers and write them with all settings to ``-o``.

    The encoder is a file that `pretrain` or `fit` wrote (``--encoder`` says which network it is, where the
    file does not), or ``random:NAME``. ``--set probe.KEY=…`` changes the protocol, ``--set input.KEY=…`` the
    size and channels of the images. Where the data are not split, ``--split-seed`` splits them: another
    ``--seed`` is tested on the same images. Returns 2 if an image could not be read, because the rest is not
    the whole.
    """
    calm_openmp()
    import torch  # noqa: PLC0415

    from onlygood.pretrain.data.cachedir import find_cache  # noqa: PLC0415
    from onlygood.pretrain.data.labels import arrange, read_labeled  # noqa: PLC0415
    from onlygood.pretrain.data.plan import InputConfig, plan_input  # noqa: PLC0415
    from onlygood.pretrain.data.store import ImageStore, survey_images  # noqa: PLC0415
    from onlygood.pretrain.probe.features import FrozenEncoder  # noqa: PLC0415
    from onlygood.pretrain.probe.protocols import protocol_config, run_probe  # noqa: PLC0415

    say, progress = speaker(quiet=options.quiet), not options.quiet
    encoder, labelled, output = options.encoder, options.labelled, options.output
    sections: dict[str, dict[str, Any]] = {"probe": {}, "input": {"side": SIDE}}
    fill_sections(sections, options.overrides)
    if output is not None:
        check_output(output, inputs=chain([Path(encoder)], find_images([labelled])))
    config = protocol_config(options.protocol, sections["probe"])
    wished = _standardize(options.standardize)
    torch.set_num_threads(available_cpus())
    network, info, trained, report = _load(
        encoder, options.name, options.seed, sections["input"].get("channels")
    )
    for line in report:
        say(line)
    if wished and trained and wished != trained:
        raise OnlygoodError(f"{encoder} was trained with --standardize {trained}; leave the option out")
    frozen = FrozenEncoder(network, trained or wished or "fixed", _numbers(options.stages))
    found = read_labeled(labelled)
    wanted = InputConfig.parse({"channels": info.channels, **sections["input"]}, "--set input")
    spec, words = plan_input(wanted, survey_images(found.paths, progress=progress), tile=32, stride=32)
    if spec.channels != info.channels:
        raise OnlygoodError(
            f"{encoder} takes {info.channels} channel(s), --set input.channels another number"
        )
    if note := find_cache().note:
        say(note)
    store = ImageStore.build(found.paths, spec, progress=progress)
    data = arrange(found, store, seed=options.split_seed, test_fraction=options.test_fraction)
    say(f"{data.description}; {len(data.classes)} classes")
    say(f"{len(data.train)} images to train, {len(data.test)} to test, {len(store.bad)} unreadable; {words}")
    for note in data.notes:
        say(f"warning: {note}")
    result = run_probe(
        options.protocol,
        config,
        frozen,
        data,
        info=info,
        source=display(labelled),
        seed=options.seed,
        say=say,
    )
    if output is not None:
        write_atomically(output, result.to_json().encode("utf-8", "surrogateescape"))
        say(f"wrote {display(output)} after {result.seconds:.0f} s")
    if options.format is MetricsFormat.JSON:
        sys.stdout.write(result.to_json())
    else:
        print_table([result])
    for path, reason in store.bad:
        say(f"unreadable: {display(path)}: {reason}")
    return 2 if store.bad else 0


def _standardize(wished: str | None) -> "Standardize | None":
    match wished:
        case None | "image" | "fixed" | "unit" | "plain" | "imagenet":
            return wished
    raise OnlygoodError(f"--standardize is image, fixed, unit, plain or imagenet, not {wished!r}")


def _numbers(stages: str | None) -> list[int] | None:
    """``1,3`` as numbers; None is all stages."""
    if stages is None or stages == "all":
        return None
    try:
        return [int(part) for part in stages.split(",")]
    except ValueError:
        raise OnlygoodError(f"--stages: write numbers such as 2,3 or all, not {stages!r}") from None


def _load(
    source: str, name: str | None, seed: int, channels: Any
) -> "tuple[Encoder, EncoderInfo, Standardize | None, tuple[str, ...]]":
    """The encoder that a file holds, or an untrained one; what to write of it; how images reached it; words.

    ``channels`` are those of the input as set, for encoders that do not say theirs.
    """
    from onlygood.pretrain.networks.registry import create_encoder  # noqa: PLC0415
    from onlygood.pretrain.networks.start import start_encoder  # noqa: PLC0415
    from onlygood.pretrain.networks.weights import read_weights  # noqa: PLC0415
    from onlygood.pretrain.probe.features import state_digest  # noqa: PLC0415
    from onlygood.pretrain.probe.result import EncoderInfo  # noqa: PLC0415

    trained: Standardize | None = None
    words: tuple[str, ...] = ()
    if source.startswith(RANDOM):
        network = create_encoder(source.removeprefix(RANDOM), 1 if channels == 1 else 3, seed=seed)
        label, digest = source, state_digest(network)
    else:
        path = Path(source)
        weights = read_weights(path)
        kind = name or weights.about.get("encoder")
        if kind is None:
            raise OnlygoodError(f"{path}: does not say which encoder it holds; add --encoder NAME")
        taken = int(weights.about.get("channels", 1 if channels == 1 else 3))
        start = start_encoder(kind, taken, weights=path)
        network, trained, words = start.encoder, start.standardize, start.words
        label, digest = path.stem, weights.sha256
    info = EncoderInfo(
        label=display(label),
        name=network.name,
        channels=network.channels,
        sha256=digest,
        source=display(source),
    )
    return network, info, trained, words
