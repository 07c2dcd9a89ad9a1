"""Who made a model file: its signature, in minisign's format, which other tools make and check too.

The signature lies beside the file and covers all of its bytes (BLAKE2b, then Ed25519). Neither is trusted;
the key is the user's.
"""

import base64
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onlygood.runtime.errors import ModelError, OnlygoodError
from onlygood.runtime.images.files import display, printable

if TYPE_CHECKING:
    from minisign import PublicKey, Signature

SUFFIX = ".minisig"

_KEY = re.compile(r"RW[A-Za-z0-9+/]{54}")
_MOST = 1 << 15  # bytes of a key or a signature


@dataclass(frozen=True)
class Signed:
    """A signature that holds."""

    key: str  # identifier of the key, as minisign prints it
    comment: str  # what the signer wrote, and signed


def signature_path(model: Path | str) -> Path:
    """Where the signature of a model file lies: beside it, as minisign has it."""
    return Path(f"{os.fspath(model)}{SUFFIX}")


def check_signature(model: Path | str, data: bytes, key: Path | str) -> Signed:
    """The signature beside the file ``model``, whose bytes are ``data``, if it is one by ``key``.

    Args:
        model: the path of the file; it is not read again.
        data: what is about to run.
        key: a public key as text (``RW…``), or the file that holds it.

    Raises:
        ModelError: there is no signature, or it is by another key, or of other bytes.
        OnlygoodError: the key cannot be read, or the extra ``sign`` is not installed.
    """
    public, found = read_public_key(key), _read_signature(signature_path(model))
    minisign = library()
    wanted, by = key_id(public), key_id(found)
    if wanted != by:
        raise ModelError(f"signed by the key {by}, and not by {wanted}, which --key asks for")
    try:
        public.verify(data, found)
    except minisign.VerifyError:
        raise ModelError(
            f"the signature is not of this file: it or {display(signature_path(model))} was changed, or"
            " belongs to another; get both again from who made them"
        ) from None
    return Signed(by, found.trusted_comment)


def read_public_key(key: Path | str) -> "PublicKey":
    """The public key that is meant by ``key``, its text or its file.

    Raises:
        OnlygoodError: it is no such key.
    """
    minisign = library()
    try:
        if isinstance(key, str) and _KEY.fullmatch(key):
            return minisign.PublicKey.from_base64(key)
        return minisign.PublicKey.from_bytes(read_small(Path(key), "the public key"))
    except minisign.ParseError as error:
        raise OnlygoodError(
            f"{printable(str(key))}: no public key of minisign ({error}); `onlygood keygen` makes one"
        ) from None


def key_id(signed: "PublicKey | Signature") -> str:
    """Which key this is, or by which it was made: 16 hexadecimal digits, as minisign prints them."""
    return base64.b64decode(bytes(signed).splitlines()[1])[2:10][::-1].hex().upper()


def read_small(path: Path, what: str) -> bytes:
    """The bytes of a file of some lines.

    Raises:
        OnlygoodError: it cannot be read, or is far larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise OnlygoodError(f"{display(path)}: {what} cannot be read: {error.strerror}") from None
    if len(data) > _MOST:
        raise OnlygoodError(f"{display(path)} is no such file: {what} has a few hundred bytes")
    return data


def library() -> Any:
    """py-minisign, which is imported where a key is given.

    Raises:
        OnlygoodError: it is not installed.
    """
    try:
        import minisign  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise OnlygoodError(
            f"signatures need a package that is not here ({error}): pip install 'onlygood[sign]'"
        ) from None
    return minisign


def _read_signature(path: Path) -> "Signature":
    minisign = library()
    if not path.is_file():  # a pipe would be waited for
        raise ModelError(
            f"not signed: there is no file {display(path)} beside it, and --key asks for it; `onlygood sign`"
            " makes one, where the secret key is"
        )
    try:
        found: Signature = minisign.Signature.from_bytes(read_small(path, "the signature"))
    except minisign.ParseError as error:
        raise ModelError(f"{display(path)}: no signature of minisign ({error})") from None
    except OnlygoodError as error:
        raise ModelError(str(error)) from None
    if not found.is_prehashed():
        raise ModelError(
            f"{display(path)}: an old kind of signature, which covers the file unhashed: sign it again, with"
            " `onlygood sign` or minisign 0.10 or newer"
        )
    return found
