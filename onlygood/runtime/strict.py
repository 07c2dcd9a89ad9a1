"""Typed configuration: an unknown key is an error that names the nearest valid key."""

from typing import Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.nearest import nearest


def _whole(value: Any) -> Any:
    if type(value) is not int:
        raise ValueError("Input should be a valid integer")
    return value


WHOLE = BeforeValidator(_whole)  # for Literal, which takes True for 1 and 2.0 for 2
_MOST_PROBLEMS = 5  # that one message lists
_SHOWN = 80  # characters of a key, which may be of any length


class Strict(BaseModel):
    """Base of all configurations and metadata: frozen, finite numbers, no unknown keys, readable errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, values: Any, source: str) -> Self:
        """Validate ``values``; ``source`` is the file or option that the error names.

        Raises:
            OnlygoodError: the values are not valid.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise cls._explained(error, source) from None

    @classmethod
    def parse_json(cls, text: str, source: str) -> Self:
        """Validate JSON with exact types: no text for a number, no fraction for a count.

        Raises:
            OnlygoodError: the JSON is not valid.
        """
        try:
            return cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            raise cls._explained(error, source) from None

    @classmethod
    def _explained(cls, error: ValidationError, source: str) -> OnlygoodError:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        words = [_explain(cls, problem) for problem in problems[:_MOST_PROBLEMS]]
        if more := len(problems) - len(words):
            words.append(f"and {more} more")
        return OnlygoodError(f"{source}: {'; '.join(words)}")


def _explain(model: type[BaseModel], problem: Any) -> str:
    """One sentence for one pydantic problem."""
    where = ".".join(_shortened(str(part)) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        reason = str(problem["msg"]).removeprefix("Value error, ")  # pydantic's word for our own errors
        return f"{where}: {reason}" if where else reason
    known = _fields_at(model, problem["loc"][:-1])
    return f"unknown key {where!r}; {nearest(_shortened(str(problem['loc'][-1])), known, likeness=0.5)}"


def _shortened(key: str) -> str:
    return key if len(key) <= _SHOWN else f"{key[:_SHOWN]}…"


def _fields_at(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """Names of the fields of the model that stands at ``path`` inside ``model``."""
    for part in path:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field is not None else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)
