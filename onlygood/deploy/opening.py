"""The one door by which commands come to a model that the user named."""

from pathlib import Path
from typing import Protocol

from onlygood.runtime.model.modelfile import ModelFile, load_model


class Asked(Protocol):
    """What the options of a command say of its model."""

    @property
    def model(self) -> Path:
        """Its file."""

    @property
    def sha256(self) -> str | None:
        """The hash that it must have."""

    @property
    def key(self) -> str | None:
        """The public key, or its file, that must have signed it."""


def opened(options: Asked) -> ModelFile:
    """The model file that the options name, checked; what runs are the bytes that were checked.

    Raises:
        ModelError: it is refused, also because it is not what ``--sha256`` or ``--key`` ask for.
        OnlygoodError: the key cannot be used.
    """
    return load_model(options.model, options.sha256, options.key)
