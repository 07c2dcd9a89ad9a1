"""What is answered, as OpenAPI describes it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_FILES = {"type": "array", "items": {"type": "string", "format": "binary"}}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"type": "object", "properties": {"images": _FILES}}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "image/*": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


class RowAnswer(BaseModel):
    """The verdict on one image: a row of `onlygood score -f jsonl`."""

    model_config = ConfigDict(extra="allow")

    path: str = Field(description="The name that the image was sent under.")
    status: str = Field(description="normal, anomalous, unusable or error.")
    score: float | None = Field(description="Higher is more anomalous.")
    threshold: float
    anomalous: int | None = Field(description="1 or 0; null where there is no verdict.")
    p_value: float | None = Field(description="Share of good images that score as high.")
    width: int | None
    height: int | None
    ms: float | None = Field(description="Reading and inference.")
    error: str = Field(description="Why there is no verdict.")


class ScoreAnswer(BaseModel):
    """Rows in the order of the images."""

    model: str
    sha256: str
    request_id: str
    rows: list[RowAnswer]


class ModelAnswer(BaseModel):
    """A model that is served."""

    name: str
    sha256: str
    recipe: str | None
    input: dict[str, Any]
    threshold: float
    max_false_alarms: float = Field(
        description="The promised rate of false alarms, as the model file has it."
    )
    calibration_images: int
    loaded: str = Field(description="When, in UTC.")


class ErrorAnswer(BaseModel):
    """What was wrong."""

    error: str
    request_id: str
