"""`onlygood keygen`: a pair of keys in minisign's format."""

import os
from pathlib import Path

import typer

from onlygood.deploy.destination import check_output
from onlygood.deploy.options.signing import KeygenOptions
from onlygood.deploy.passwords import password
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display
from onlygood.runtime.model.signed import key_id, library

# What scrypt takes to try one password: 128 MB, half a second.
_WORK, _MEMORY = 1 << 22, 1 << 27


def run(options: KeygenOptions) -> int:
    """Write both files; neither may be there."""
    minisign = library()
    secret, public = (Path(f"{options.name}{ending}") for ending in (".key", ".pub"))
    for path in (secret, public):
        check_output(path)
        if path.exists():
            raise OnlygoodError(f"{display(path)} is there: a key is never replaced; choose another name")
    if options.no_password and options.password_file is not None:
        raise OnlygoodError("give either --password-file or --no-password")
    pair = minisign.KeyPair.generate()
    if not options.no_password:
        word = password(options.password_file, new=True, otherwise=", or --no-password")
        pair.secret_key.encrypt(word, opslimit=_WORK, memlimit=_MEMORY)
    _write_new(secret, bytes(pair.secret_key) + b"\n", 0o600)
    _write_new(public, bytes(pair.public_key) + b"\n", 0o644)
    text = pair.public_key.to_base64().decode()
    typer.echo(f"key {key_id(pair.public_key)}")
    typer.echo(f"wrote {display(secret)}, which signs: keep it secret, and a copy of it elsewhere")
    typer.echo(f"wrote {display(public)}, which checks: --key {display(public)}, or --key {text}")
    return 0


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that was not there, never readable by others for a moment.

    Raises:
        OnlygoodError: it is there by now, or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        raise OnlygoodError(f"{display(path)}: cannot be written: {error.strerror}") from None
