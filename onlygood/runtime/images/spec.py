"""The image that a model takes: its size, channels, and how a file is brought to them."""

from typing import Annotated, Literal

from pydantic import Field

from onlygood.runtime.strict import WHOLE, Strict


class InputSpec(Strict):
    """What the graph takes: uint8 ``(N, height, width, channels)``, resized outside the graph."""

    height: int = Field(ge=8, le=8192)
    width: int = Field(ge=8, le=8192)
    channels: Annotated[Literal[1, 3], WHOLE]
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    # Of 16-bit images whose file does not say its own depth
    bit_depth: Annotated[Literal[8, 10, 12, 14, 16], WHOLE] = 16
    jpeg: Literal["full", "reduced"] = "full"  # reduced: libjpeg may shrink large files while decoding
