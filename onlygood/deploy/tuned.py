"""What `bench` measured: one file, which `score`, `check` and `watch` take with ``--tuned``."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from onlygood.deploy.machine import Machine
from onlygood.deploy.use import Use
from onlygood.runtime import jsontext
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display
from onlygood.runtime.strict import WHOLE, Strict

_LARGEST = 1 << 20  # bytes
_Amount = Annotated[float, Field(ge=0)]


class Spread(Strict):
    """Milliseconds."""

    p50: _Amount
    p95: _Amount


class Way(Strict):
    """One way to run the model, and how fast it is; only ``failed`` says something where it is not ""."""

    use: Use
    images_per_second: _Amount = 0  # the median of the rounds
    lowest: _Amount = 0  # of the rounds
    highest: _Amount = 0
    image_ms: Spread = Spread(p50=0, p95=0)  # from file to verdict, while as many others are under way
    images: int = Field(default=0, ge=0)
    peak_mb: _Amount | None = None  # of the whole process
    start_ms: _Amount = 0  # to load the model and judge the first image
    failed: str = Field(default="", max_length=2000)


class Stages(Strict):
    """Where the time of an image goes: one image at a time, by one thread."""

    read: Spread
    decode: Spread
    resize: Spread
    inference: Spread
    total: Spread  # these, the look at the frame and the verdict
    images: int = Field(ge=1)


class Batch(Strict):
    """Inference alone, of so many images at once."""

    size: int = Field(ge=1)
    ms_per_image: _Amount


class About(Strict):
    """The model that was measured. Its graph stays the same when it is calibrated anew."""

    name: str = Field(max_length=1000)
    graph_sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Pictures(Strict):
    """What was measured on."""

    count: int = Field(ge=1)
    generated: bool
    kinds: dict[str, int]  # such as "JPEG 1280 x 960"
    unreadable: int = Field(ge=0)


class Tuned(Strict):
    """The file."""

    schema_version: Annotated[Literal[1], WHOLE] = 1
    created: str = Field(max_length=40)
    onlygood: str = Field(max_length=100)
    model: About
    machine: Machine
    load: float | None  # of the machine when it began
    pictures: Pictures
    use: Use  # what is recommended
    advice: list[str]
    stages: Stages | None
    ways: list[Way]
    batches: list[Batch]

    @classmethod
    def read(cls, path: Path) -> Self:
        """The file at ``path``.

        Raises:
            OnlygoodError: it cannot be read, or is none.
        """
        name = display(path)
        try:
            with path.open("rb") as file:
                text = file.read(_LARGEST + 1)
        except OSError as error:
            raise OnlygoodError(f"--tuned: {name} cannot be read: {error.strerror}") from None
        again = "make it with `onlygood bench MODEL -o FILE`"
        if len(text) > _LARGEST:
            raise OnlygoodError(f"--tuned: {name} is no file that `onlygood bench` wrote: {again}")
        try:
            values = jsontext.loads(text)
        except ValueError as error:
            raise OnlygoodError(f"--tuned: {name} is not JSON ({error}): {again}") from None
        if not isinstance(values, dict) or values.get("schema_version") != 1:
            raise OnlygoodError(f"--tuned: {name} is of no version that this onlygood knows: {again}")
        return cls.parse_json(jsontext.dumps(values), f"--tuned: {name}")
