"""The man page, written from what the commands take, so that it never says anything else than `--help`."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from inspect import getdoc
from typing import Any, get_args, get_type_hints

from typer.models import ArgumentInfo

from onlygood import __version__
from onlygood.deploy.options.shared import Options

_STATUS = {
    "0": "fine",
    "1": "check found anomalies, and nothing went wrong",
    "2": "a usage, model or input error, such as an unreadable or unusable image",
    "130, 143": "interrupted, terminated",
}
_FILES = {"~/.cache/onlygood": "decoded images; ONLYGOOD_CACHE names another folder"}


def manual(commands: Mapping[str, type[Options]], about: str) -> str:
    """``onlygood.1`` in roff: every command with what it takes; ``about`` says what the program is for."""
    lines = [
        f'.TH ONLYGOOD 1 "" "onlygood {__version__}" "User Commands"',
        ".SH NAME",
        rf"onlygood \- {_text(about)}",
        ".SH SYNOPSIS",
        r"\fBonlygood\fR \fICOMMAND\fR [\fIOPTIONS\fR] [\fIARGUMENTS\fR]",
        ".SH COMMANDS",
    ]
    for name, options in commands.items():
        lines += [f".SS {_text(f'onlygood {name}')}", _text(getdoc(options) or ""), *_parameters(options)]
    for title, entries in (("EXIT STATUS", _STATUS), ("FILES", _FILES)):
        lines.append(f".SH {title}")
        for name, words in entries.items():
            lines += [".TP", rf"\fB{_text(name)}\fR", _text(words)]
    return "\n".join(line for line in lines if line) + "\n"


def _parameters(options: type[Options]) -> Iterator[str]:
    """Arguments first, then options, as the help has them."""
    hints = get_type_hints(options, include_extras=True)
    found = [(field.name, *get_args(hints[field.name])[:2]) for field in fields(options)]
    for name, _, info in found:
        if isinstance(info, ArgumentInfo):
            yield from (".TP", rf"\fI{_text(info.metavar or name.upper())}\fR", _text(info.help or ""))
    for name, kind, info in found:
        if not isinstance(info, ArgumentInfo):
            yield from (".TP", _typed(name, kind, info), _text(info.help or ""))


def _typed(name: str, kind: Any, info: Any) -> str:
    """``-o, --output FILE``."""
    first = [info.default] if isinstance(info.default, str) else []  # of Annotated, a name and no default
    names = [*first, *(info.param_decls or ())] or [f"--{name.replace('_', '-')}"]
    written = ", ".join(rf"\fB{_text(each)}\fR" for each in names)
    return written if kind is bool else rf"{written} \fI{_text(info.metavar or _word(kind))}\fR"


def _word(kind: Any) -> str:
    """What kind of value it is, as the help has it."""
    kinds = [each for each in get_args(kind) or (kind,) if each is not type(None)]
    name = getattr(kinds[0], "__name__", "VALUE")
    known = {"int": "INTEGER", "float": "NUMBER", "str": "TEXT", "Path": "PATH"}
    choices = getattr(kinds[0], "__members__", None)
    return "|".join(str(choice.value) for choice in choices.values()) if choices else known.get(name, "VALUE")


def _text(words: str) -> str:
    """Plain words as roff has them: in one line, and none of them a request."""
    escaped = " ".join(words.split()).replace("\\", r"\e").replace("-", r"\-")
    return r"\&" + escaped if escaped.startswith((".", "'")) else escaped
