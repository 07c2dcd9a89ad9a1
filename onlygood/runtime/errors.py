"""Errors that are written for people."""


class OnlygoodError(Exception):
    """An error that the user can fix: the message says what is wrong, with which file, and what to do.

    The command line prints the message without a traceback and exits with 2.
    """


class ImageError(OnlygoodError):
    """One image cannot be read; the message is the reason shown in its row."""


class ModelError(OnlygoodError):
    """A model file cannot be loaded or is not what it claims to be."""


class Interrupted(OnlygoodError):  # noqa: N818 - nobody's error
    """A signal stopped the work after it was saved; the command line exits with 128 + the signal's number."""

    def __init__(self, message: str, number: int = 2) -> None:
        super().__init__(message)
        self.code = 128 + number


class Helped(Interrupted):
    """This process has helped another to train, which goes on alone; the command line exits with 0."""

    def __init__(self) -> None:
        super().__init__("the first process goes on alone")
        self.code = 0
