"""`onlygood sign`: the signature of a model file, beside it, in minisign's format."""

import time
from typing import Any

import typer

from onlygood.deploy.clock import source_date
from onlygood.deploy.destination import check_output
from onlygood.deploy.options.signing import SignOptions
from onlygood.deploy.passwords import password
from onlygood.runtime.atomic import write_atomically
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display, printable
from onlygood.runtime.model.modelfile import load_model
from onlygood.runtime.model.signed import check_signature, key_id, library, read_small, signature_path


def run(options: SignOptions) -> int:
    """Sign the bytes that were checked, check the signature, and say how others do."""
    minisign, beside, date = library(), signature_path(options.model), source_date()
    check_output(beside, inputs=[options.secret_key])
    file = load_model(options.model)
    secret = _secret_key(options)
    seconds = int(time.time()) if date is None else date
    name = printable(options.model.name).encode("ascii", "backslashreplace").decode()
    comment = options.comment or f"timestamp:{seconds}\tfile:{name}\thashed"
    try:
        signature = secret.sign(file.data, trusted_comment=comment)
    except minisign.ParseError as error:
        raise OnlygoodError(f"the comment cannot be signed: {error}; it is one line of ASCII") from None
    write_atomically(beside, bytes(signature) + b"\n")
    public = secret.get_public_key().to_base64().decode()
    check_signature(options.model, file.data, public)
    typer.echo(f"wrote {display(beside)}, by the key {key_id(signature)}")
    typer.echo(f"check it with: onlygood verify {display(options.model)} --key {public}")
    typer.echo(f"           or: minisign -Vm {display(options.model)} -P {public}")
    return 0


def _secret_key(options: SignOptions) -> Any:
    """The secret key, ready to sign.

    Raises:
        OnlygoodError: it is no such key, or the password is another.
    """
    minisign, name = library(), display(options.secret_key)
    try:
        key = minisign.SecretKey.from_bytes(read_small(options.secret_key, "the secret key"))
        if key.is_encrypted():
            key.decrypt(password(options.password_file, new=False))
    except minisign.ParseError as error:
        raise OnlygoodError(
            f"{name}: no secret key of minisign ({error}); `onlygood keygen` makes one"
        ) from None
    except (minisign.Error, ValueError) as error:
        raise OnlygoodError(f"{name}: {error}") from None
    return key
