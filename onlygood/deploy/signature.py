"""A command's signature, which Typer reads, from the dataclass of what the command takes."""

from collections.abc import Callable
from dataclasses import MISSING, fields
from inspect import Parameter, Signature, getdoc
from typing import Any, TypeVar, get_type_hints

from typer.models import ArgumentInfo

from onlygood.deploy.options.shared import Options

Taken = TypeVar("Taken", bound=Options)
Result = TypeVar("Result")


def typed(options: type[Taken], work: Callable[[Taken], Result]) -> Callable[..., Result]:
    """``work`` as Typer wants it: a parameter for each field, and the class's docstring as help."""
    hints = get_type_hints(options, include_extras=True)

    def command(**values: Any) -> Result:
        return work(options(**values))

    parameters = [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(options)
    ]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = getdoc(options)
    return command


def words_of(options: Options) -> list[str]:
    """What one types after the command's name to give these options: only what differs from the defaults."""
    hints = get_type_hints(type(options), include_extras=True)
    words: list[str] = []
    arguments: list[str] = []
    for field in fields(options):
        value = getattr(options, field.name)
        if value == field.default:
            continue
        info = hints[field.name].__metadata__[0]
        items = list(value) if isinstance(value, list | tuple) else [value]
        if isinstance(info, ArgumentInfo):
            arguments += map(str, items)
            continue
        name = [info.default, *info.param_decls][-1]  # Typer calls the first name the default
        words += [name] if value is True else [f"{name}={item}" for item in items]
    return [*words, "--", *arguments]
