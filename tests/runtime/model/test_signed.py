"""Signatures of model files: what minisign made is taken, and nothing that was changed."""

import base64
import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minisign
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from onlygood.runtime.errors import ModelError, OnlygoodError
from onlygood.runtime.model.detector import Detector
from onlygood.runtime.model.modelfile import load_model
from onlygood.runtime.model.signed import Signed, check_signature, signature_path

# Made once with minisign 0.11, of these bytes; its secret key was thrown away.
TEXT = b"a detector\n"
KEY = "RWT65V+eFQxDO9pPjZ+Ym0zYj8D6lNpp8jZ5pUjLSgQYJ57xzM+ZyBqR"
IDENTIFIER = "3B430C159E5FE5FA"
BY_MINISIGN = """\
untrusted comment: signature from minisign secret key
RUT65V+eFQxDOzXqDV9rTo+ZxQW0AiJaLbAfXzTZU4e9Uu4YVh2Jq1zLGMA1zbXz1j0zzPOHcg+os44aCy5ghmNChWETmOA3Nwo=
trusted comment: made by hand
7t2SQD47BYnT0604VJEyU3F6WgJ5YgCyduUNPDIfVg42Gh19w6eqWtLeTaPa4Yu7fJGdPbfaHircWTBztbLmAQ==
"""
OLD_KIND = """\
untrusted comment: signature from minisign secret key
RWT65V+eFQxDO5+tyvenhxU5PUa5AsB97Lwvvi0622Xj3DQrPplbEa+Vbq6cQDGElF8H/NawbI8a4RN0nmlhEsc/w7sN+0gkBgc=
trusted comment: old kind
WjhrJdnb/6EWa5NQothwZm7zUNQNUnQcMxa3KCbdoCa17R8NagtuSVGtTZvlx6haAWFslQnqPBZWxRt+TDg1DA==
"""


@pytest.fixture(scope="module")
def pair() -> Any:
    return minisign.KeyPair.generate()


@pytest.fixture
def signed(tiny: Path, pair: Any) -> Path:
    """A model with its signature beside it."""
    signature = pair.secret_key.sign(tiny.read_bytes(), trusted_comment="line 3")
    signature_path(tiny).write_bytes(bytes(signature) + b"\n")
    return tiny


def text(pair: Any) -> str:
    return str(pair.public_key.to_base64().decode())


def put(model: Path, signature: str) -> Path:
    signature_path(model).write_text(signature, encoding="utf-8")
    return model


def test_what_minisign_made_is_taken(tmp_path: Path) -> None:
    model = put(tmp_path / "text", BY_MINISIGN)
    file = tmp_path / "minisign.pub"
    file.write_text(f"untrusted comment: minisign public key {IDENTIFIER}\n{KEY}\n", encoding="utf-8")
    for key in (KEY, file, str(file)):
        assert check_signature(model, TEXT, key) == Signed(IDENTIFIER, "made by hand")


def test_the_signature_is_ed25519_of_the_blake2b_of_all_bytes(signed: Path, pair: Any) -> None:
    """Recomputed without minisign's library: so that any program can check it."""
    lines = signature_path(signed).read_bytes().splitlines()
    line, both = base64.b64decode(lines[1]), base64.b64decode(lines[3])
    key = base64.b64decode(text(pair))
    assert (line[:2], line[2:10], len(line)) == (b"ED", key[2:10], 74)
    public = Ed25519PublicKey.from_public_bytes(key[10:])
    public.verify(line[10:], hashlib.blake2b(signed.read_bytes()).digest())
    public.verify(both, line[10:] + b"line 3")
    assert load_model(signed, key=text(pair)).metadata.name == "tiny"


def test_a_change_of_any_byte_of_the_model_is_seen(signed: Path, pair: Any) -> None:
    data = bytearray(signed.read_bytes())
    for place in range(len(data)):
        data[place] ^= 1 << place % 8
        with pytest.raises(ModelError, match="not of this file"):
            check_signature(signed, bytes(data), text(pair))
        data[place] ^= 1 << place % 8
    for other in (data[:-1], data + b"\0", data[1:], b""):
        with pytest.raises(ModelError, match="not of this file"):
            check_signature(signed, bytes(other), text(pair))
    assert check_signature(signed, bytes(data), text(pair)).comment == "line 3"


def test_a_change_of_any_byte_that_is_signed_or_signs_is_seen(signed: Path, pair: Any) -> None:
    beside, data = signature_path(signed), signed.read_bytes()
    good = beside.read_bytes()
    lines = good.splitlines(keepends=True)
    for number in (1, 3):
        raw = bytearray(base64.b64decode(lines[number]))
        for place in range(len(raw)):
            raw[place] ^= 1 << place % 8
            changed = [*lines[:number], base64.b64encode(raw) + b"\n", *lines[number + 1 :]]
            beside.write_bytes(b"".join(changed))
            with pytest.raises(ModelError):
                check_signature(signed, data, text(pair))
            raw[place] ^= 1 << place % 8
    for comment in (b"line 4", b"line 3 ", b"", b"line 3\0"):
        beside.write_bytes(good.replace(b"line 3", comment))
        with pytest.raises(ModelError, match="not of this file"):
            check_signature(signed, data, text(pair))


def test_one_of_another_key_is_refused_by_name(signed: Path) -> None:
    other = minisign.KeyPair.generate()
    with pytest.raises(ModelError, match=r"signed by the key [0-9A-F]{16}, and not by [0-9A-F]{16}"):
        Detector.load(signed, key=text(other))


def test_a_key_with_the_name_of_another_signs_nothing(signed: Path, pair: Any) -> None:
    """The name of a key is not secret: who takes it has still not the key."""
    forged = bytearray(base64.b64decode(minisign.KeyPair.generate().public_key.to_base64()))
    forged[2:10] = base64.b64decode(text(pair))[2:10]
    with pytest.raises(ModelError, match="not of this file"):
        Detector.load(signed, key=base64.b64encode(forged).decode())


def test_without_a_signature_nothing_is_run(tiny: Path, pair: Any) -> None:
    with pytest.raises(ModelError, match=r"not signed: there is no file .*tiny\.onnx\.minisig"):
        Detector.load(tiny, key=text(pair))
    assert Detector.load(tiny).metadata.name == "tiny"  # nobody asked


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no signature of minisign"),
        ("\0" * 300, "no signature of minisign"),
        ("x" * 100_000, "a few hundred bytes"),
        (BY_MINISIGN * 2, "no signature of minisign"),
        (BY_MINISIGN.replace("RUT6", "RXT6"), "no signature of minisign"),
        (BY_MINISIGN.replace("trusted comment: made", "made"), "no signature of minisign"),
        (OLD_KIND, "an old kind of signature"),
    ],
)
def test_what_is_no_signature_is_refused(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        check_signature(put(tmp_path / "text", content), TEXT, KEY)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_a_pipe_in_its_place_is_refused(tiny: Path, make: Callable[[Path], None]) -> None:
    make(signature_path(tiny))
    with pytest.raises(ModelError, match="not signed: there is no file"):
        load_model(tiny, key=KEY)


@pytest.mark.parametrize("key", ["", "RW", KEY[:-1], KEY + "A", "no.pub", KEY.replace("RW", "RU")])
def test_what_is_no_key_is_refused(signed: Path, key: str) -> None:
    with pytest.raises(OnlygoodError, match=r"cannot be read|no public key"):
        load_model(signed, key=key)


def test_a_file_that_holds_no_key_is_refused(signed: Path, tmp_path: Path) -> None:
    file = tmp_path / "x.pub"
    for content in (b"", b"\xff\n\xff", KEY.encode(), signature_path(signed).read_bytes(), b"\0" * 40_000):
        file.write_bytes(content)
        with pytest.raises(OnlygoodError, match=r"no public key|a few hundred bytes"):
            load_model(signed, key=file)


def test_a_key_without_the_library_is_refused(signed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minisign", None)
    with pytest.raises(OnlygoodError, match=r"pip install 'onlygood\[sign\]'"):
        load_model(signed, key=KEY)
    assert load_model(signed).metadata.name == "tiny"
