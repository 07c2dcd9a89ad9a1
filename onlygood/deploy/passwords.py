"""The password of a secret key: from a file, or from the person at the terminal."""

import sys
from pathlib import Path

import typer

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display
from onlygood.runtime.model.signed import read_small


def password(path: Path | None, *, new: bool, otherwise: str = "") -> str:
    """The password in the file, else what is typed; a ``new`` one is asked for twice.

    Args:
        path: the file, whose first line counts.
        new: whether a key is made.
        otherwise: what else can be done where nobody can be asked, for the message.

    Raises:
        OnlygoodError: the file holds none, or nobody can be asked.
    """
    if path is not None:
        try:
            lines = read_small(path, "the password").decode().splitlines()
        except UnicodeDecodeError:
            raise OnlygoodError(f"{display(path)}: the password is no text in UTF-8") from None
        if not lines or not lines[0]:
            raise OnlygoodError(f"{display(path)}: there is no password in its first line")
        return lines[0]
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise OnlygoodError(
            f"nobody is here to type the password of the secret key: give --password-file FILE{otherwise}"
        )
    words = "password of the secret key"
    asked: str = typer.prompt(words, hide_input=True, confirmation_prompt=new, err=True)
    return asked
