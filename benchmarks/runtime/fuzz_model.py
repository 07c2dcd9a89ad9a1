"""Damaged and hostile model files: do they give a verdict or a reason, in time and in memory?

    python -m benchmarks.runtime.fuzz_model --inputs 20000 --output benchmarks/results/fuzz/model.json

Whole files are changed as `tests/mutants.py` does: bytes; metadata; weights, shapes, types, operators, wires
and attributes of the graph. Nearly all are sealed again, so that what lies behind the seal is reached.
`--more` adds models, such as one of `onlygood fit`. Each is loaded and judges an image in a child process, so
that even a crash is an answer. Exits with 1 if there was a failure.
"""

import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
import conv_model
import hand_made
import mutants

from benchmarks.runtime.fuzzing import Campaign, Make, Say, run
from onlygood.runtime.model.session import import_onnxruntime


def seeds(more: list[Path]) -> dict[str, bytes]:
    """Whole model files by name."""
    tiny = hand_made.seal(hand_made.with_metadata(hand_made.tiny_graph(), hand_made.tiny_metadata()))
    with tempfile.TemporaryDirectory() as folder:
        conv = conv_model.model_file(Path(folder) / "conv.onnx").read_bytes()
    return {"tiny": tiny, "conv": conv} | {path.name: path.read_bytes() for path in more}


def prepare(seed: int, more: list[Path]) -> tuple[Make, Say]:
    """What makes a file and what answers for it."""
    pool = list(seeds(more).values())
    place = tempfile.TemporaryDirectory()
    path = Path(place.name) / "m.onnx"

    def say(data: bytes, _: int) -> str:
        path.write_bytes(data)
        assert place  # which is removed with this function
        return mutants.answer(path)

    return (lambda number: mutants.mutant(number, seed, pool)), say


def general(said: str) -> str:
    """A reason without its numbers and names, to be counted."""
    said = re.sub(r"'[^']*'|\"[^\"]*\"|\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}|:\S+", "…", said)
    return re.sub(r"-?\d[\d,.]*(e[+-]\d+)?", "N", said)[:70]


CAMPAIGN = Campaign(
    typed="python -m benchmarks.runtime.fuzz_model",
    prepare=prepare,
    seeds=seeds,
    general=general,
    fine="a verdict",
    inputs=20_000,
    seconds=5.0,
    megabytes=1500,
    libraries=lambda: {"onnxruntime": import_onnxruntime().__version__},
)


if __name__ == "__main__":
    run(CAMPAIGN)
