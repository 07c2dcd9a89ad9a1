"""Other metadata in a model file: the graph stays byte for byte, the seal is new, nothing else is touched."""

from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlygood.runtime.errors import ModelError
from onlygood.runtime.model.metadata import Metadata
from onlygood.runtime.model.modelfile import check_seal, load_model
from onlygood.runtime.model.onnxscan import METADATA_KEY, scan
from onlygood.runtime.model.rewrite import _varint, with_metadata


def other(metadata: Metadata, scores: list[float]) -> Metadata:
    held_out = metadata.calibration.model_copy(update={"scores": scores})
    return metadata.model_copy(update={"calibration": held_out, "name": "größer"})


@pytest.mark.parametrize("count", [1, 19, 400])  # shorter, and longer by a byte more of the length
def test_the_graph_stays_and_the_metadata_change(tiny: Path, tmp_path: Path, count: int) -> None:
    before = load_model(tiny)
    wanted = other(before.metadata, [float(i) for i in range(count)])
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(with_metadata(before.data, wanted))
    after = load_model(changed)  # which checks the seal
    assert after.metadata.calibration == wanted.calibration
    assert (after.metadata.name, after.metadata.provenance) == ("größer", before.metadata.provenance)
    old, new = onnx.load(tiny), onnx.load(changed)
    for model in (old, new):
        (entry,) = (entry for entry in model.metadata_props if entry.key == METADATA_KEY)
        entry.value = ""
    assert old == new


def test_what_lies_around_the_entry_stays(tiny: Path) -> None:
    model = onnx.load(tiny)
    ours = model.metadata_props.pop()
    model.metadata_props.add(key="before", value="kept " * 100)
    model.metadata_props.append(ours)
    model.metadata_props.add(key="after", value="kept")
    changed = with_metadata(model.SerializeToString(), other(load_model(tiny).metadata, [0.5]))
    assert check_seal(changed)
    props = {entry.key: entry.value for entry in onnx.load_model_from_string(changed).metadata_props}
    assert (props["before"], props["after"]) == ("kept " * 100, "kept")


def test_a_length_that_is_packed_as_no_writer_does_is_refused(tiny_bytes: bytes) -> None:
    """A varint may have leading groups of zeros: then tag and length are not where they are looked for."""
    start, end = scan(tiny_bytes).entry
    length = _varint(end - start)
    longer = bytes([*length[:-1], length[-1] | 0x80, 0])
    odd = tiny_bytes[: start - len(length)] + longer + tiny_bytes[start:]
    assert scan(odd).metadata is not None
    with pytest.raises(ModelError, match="packed as no writer"):
        with_metadata(odd, Metadata.parse_json(tiny_bytes[slice(*scan(tiny_bytes).metadata)].decode(), "x"))


@given(st.integers(0, 2**31))
def test_a_varint_is_read_back(value: int) -> None:
    groups = _varint(value)
    assert sum((byte & 0x7F) << 7 * i for i, byte in enumerate(groups)) == value
    assert [byte >= 0x80 for byte in groups] == [True] * (len(groups) - 1) + [False]
