"""What the commands take that say who made a model file: `sign` and `keygen`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from onlygood.deploy.options.shared import Model, Options

PasswordFile = Annotated[
    Path | None,
    Option(
        "--password-file",
        metavar="FILE",
        help="First line: the password of the secret key. Default: asked for.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class SignOptions(Options):
    """Sign a model file, so that --key refuses all that somebody else made or changed."""

    model: Model
    secret_key: Annotated[
        Path,
        Option("--secret-key", metavar="FILE", help="Secret key, of `onlygood keygen` or `minisign -G`."),
    ]
    password_file: PasswordFile = None
    comment: Annotated[
        str | None,
        Option(
            "--comment",
            help="What is signed along and shown by `verify`. Default: time and name of the file.",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class KeygenOptions(Options):
    """Make a pair of keys: NAME.key signs and stays secret, NAME.pub is given to --key."""

    name: Annotated[Path, Argument(metavar="NAME", help="Path of both files without their endings.")]
    password_file: PasswordFile = None
    no_password: Annotated[
        bool, Option("--no-password", help="Leave the secret key unprotected but by its file's permissions.")
    ] = False
