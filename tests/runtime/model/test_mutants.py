"""Changed model files give a verdict or a reason: no other exception, crash, hang, gigabytes or prints."""

import contextlib
import io
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutants
import onnx
import pytest

from onlygood.runtime.errors import ModelError
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.model.session import open_session

MakeTiny = Callable[..., Path]
TESTS = Path(__file__).parents[2]

# In a process of its own, which may die, and whose memory is measured.
RUN = """
import sys, pathlib
sys.path.insert(0, sys.argv[1])
import conv_model, hand_made, mutants
path = pathlib.Path(sys.argv[2]) / "m.onnx"
tiny = hand_made.seal(hand_made.with_metadata(hand_made.tiny_graph(), hand_made.tiny_metadata()))
pool = [tiny, conv_model.model_file(path).read_bytes()]
for data in pool:
    path.write_bytes(data)
    assert mutants.answer(path) == "a verdict"
for number in range(500):
    path.write_bytes(mutants.mutant(number, 7, pool)[1])
    print(number, mutants.answer(path).replace("\\n", " "), flush=True)
print(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0])
"""


def test_five_hundred_changed_files(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", RUN, str(TESTS), str(tmp_path)], capture_output=True, text=True, check=False
    )
    *lines, peak = done.stdout.splitlines()
    assert done.returncode == 0, lines[-1:]
    said = [line.partition(" ")[2] for line in lines]
    assert [line.split(" ")[0] for line in lines] == [str(number) for number in range(500)]  # and no prints
    assert [line for line in lines if "FAILURE" in line] == []
    assert done.stderr == ""
    assert int(peak) < 400_000  # kB
    assert 20 < said.count("a verdict") < 400
    kinds = (
        "metadata are not JSON",
        "metadata are not valid",
        "not a loadable",
        "onnxruntime cannot load",
        "run",
    )
    assert all(any(kind in line for line in said) for kind in kinds)


def test_mutants_are_the_same_every_time(tiny_bytes: bytes) -> None:
    first = [mutants.mutant(number, 5, [tiny_bytes]) for number in range(40)]
    assert first == [mutants.mutant(number, 5, [tiny_bytes]) for number in range(40)]
    assert len({data for _, data in first}) > 30


# --- what they found


def test_a_key_of_megabytes_is_neither_printed_nor_compared(
    make_tiny: MakeTiny, metadata_with: Callable[..., Metadata]
) -> None:
    text = metadata_with().model_dump_json()
    keys = [f'"{letter * 3_000_000}": 1' for letter in "abcdef"]
    changed = text.replace('"name"', f'{", ".join(keys)}, "name"', 1)
    path = make_tiny(metadata=changed)
    with pytest.raises(ModelError, match=r"unknown key 'a{80}…'; there are ") as caught:
        Detector.load(path)
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize("where", ["input", "output"])
def test_names_that_are_no_text_are_a_reason(make_tiny: MakeTiny, where: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        value: Any = model.graph.input[0] if where == "input" else model.graph.output[0]
        value.type.tensor_type.shape.dim[0].dim_param = "batch"

    path = make_tiny(change=change, sealed=False)
    data = mutants.sealed_again(re.sub(rb"\x12\x05batch", b"\x12\x05ba\xe0ch", path.read_bytes()))
    path.write_bytes(data)
    with pytest.raises(ModelError, match="no text in UTF-8"):
        Detector.load(path)


def test_onnxruntime_prints_nothing_among_the_rows(tiny_bytes: bytes) -> None:
    """Where it cannot load a model it would say so on stdout, and try again."""
    printed = io.StringIO()
    broken = tiny_bytes.replace(b"Squeeze", b"Squee\xe0e")
    with contextlib.redirect_stdout(printed), pytest.raises(ModelError):
        open_session(broken)
    assert printed.getvalue() == ""
