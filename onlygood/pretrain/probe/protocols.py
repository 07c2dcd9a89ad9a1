"""The protocols by name, and one way to run them all."""

import importlib.metadata
import platform
import time
from collections.abc import Callable
from typing import Any

from onlygood.pretrain.data.labels import LabeledSet
from onlygood.pretrain.data.store import ImageStore
from onlygood.pretrain.probe.features import FrozenEncoder, Setup
from onlygood.pretrain.probe.few_shot import FewShotConfig, few_shot
from onlygood.pretrain.probe.finetune import FinetuneConfig, finetune
from onlygood.pretrain.probe.knn import KnnConfig, knn
from onlygood.pretrain.probe.linear import LinearConfig, linear
from onlygood.pretrain.probe.logistic import LogisticConfig, logistic
from onlygood.pretrain.probe.result import DataInfo, EncoderInfo, Measurement, ProbeResult
from onlygood.pretrain.probe.retention import RetentionConfig, retention
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.nearest import nearest
from onlygood.runtime.strict import Strict

PROTOCOLS: dict[str, tuple[type[Strict], Callable[[Setup, Any], list[Measurement]]]] = {
    "linear": (LinearConfig, linear),
    "logistic": (LogisticConfig, logistic),
    "knn": (KnnConfig, knn),
    "few-shot": (FewShotConfig, few_shot),
    "finetune": (FinetuneConfig, finetune),
    "retention": (RetentionConfig, retention),
}
_LIBRARIES = ("onlygood", "torch", "scikit-learn", "numpy", "pillow")


def protocol_config(protocol: str, options: dict[str, Any]) -> Strict:
    """The validated settings of a protocol.

    Raises:
        OnlygoodError: an unknown protocol or key, with the nearest there is.
    """
    if protocol not in PROTOCOLS:
        raise OnlygoodError(f"unknown protocol {protocol!r}; {nearest(protocol, PROTOCOLS)}")
    return PROTOCOLS[protocol][0].parse(options, f"protocol {protocol}")


def run_probe(
    protocol: str,
    config: Strict,
    encoder: FrozenEncoder,
    data: LabeledSet,
    *,
    info: EncoderInfo,
    source: str,
    seed: int,
    say: Callable[[str], None] = lambda words: None,
) -> ProbeResult:
    """Run one protocol; the encoder comes back unchanged, which is checked.

    ``data`` must be on an `ImageStore`; ``source`` is what the user called the data.
    """
    store = data.store
    if not isinstance(store, ImageStore):
        raise TypeError("a recorded probe needs the images of an ImageStore")
    start = time.perf_counter()
    with encoder as frozen:
        rows = PROTOCOLS[protocol][1](Setup(frozen, data, seed, say), config)
    return ProbeResult(
        protocol=protocol,
        settings=config.model_dump(mode="json"),
        seed=seed,
        standardize=encoder.standardize,
        device=str(encoder.device),
        encoder=info,
        data=DataInfo(
            source=source,
            description=data.description,
            fingerprint=data.fingerprint,
            train=data.counts(data.train),
            test=data.counts(data.test),
            unreadable=len(store.bad),
            notes=list(data.notes),
            input=store.spec,
        ),
        rows=rows,
        seconds=time.perf_counter() - start,
        versions={"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in _LIBRARIES},
    )
