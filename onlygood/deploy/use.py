"""How a model is run on this machine."""

from typing import Annotated

from pydantic import Field

from onlygood.runtime.limits import MOST_THREADS
from onlygood.runtime.strict import Strict

_Count = Annotated[int, Field(ge=1, le=MOST_THREADS)]


class Use(Strict):
    """How many images at once, and by what each inference is computed."""

    workers: _Count  # images at once, each from its file to its verdict
    threads: _Count = 1  # of each inference
    provider: str = Field(default="cpu", max_length=100)

    def typed(self) -> str:
        """As one types it."""
        return f"-j {self.workers} --threads {self.threads} --provider {self.provider}"
