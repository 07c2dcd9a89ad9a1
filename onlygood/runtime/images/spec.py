"""How the model takes an image."""

from typing import Annotated, Literal

from pydantic import Field

from onlygood.runtime.strict import WHOLE, Strict


class InputSpec(Strict):
    """What the graph takes: uint8 ``(N, height, width, channels)``, resized outside the graph."""

    height: int = Field(ge=8, le=8192)
    width: int = Field(ge=8, le=8192)
    channels: Annotated[Literal[1, 3], WHOLE]
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    # Of 16-bit images, where a file does not say its own
    bit_depth: Annotated[Literal[8, 10, 12, 14, 16], WHOLE] = 16
    jpeg: Literal["full", "reduced"] = "full"  # whether libjpeg may shrink large ones while decoding
