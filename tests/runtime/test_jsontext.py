"""Valid JSON: a strict parser reads whatever we write, and we read nothing that one would refuse."""

import ast
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import onlygood
from onlygood.runtime.jsontext import dumps, loads

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def without(value: Any) -> Any:
    """What `dumps` is to write: None for what is no number."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case list():
            return [without(inner) for inner in value]
        case dict():
            return {key: without(inner) for key, inner in value.items()}
    return value


@given(VALUES)
def test_what_is_written_is_read_back_with_none_for_what_is_no_number(value: Any) -> None:
    assert loads(dumps(value)) == without(value)
    assert loads(dumps(value, indent=2, ascii=False)) == without(value)


def test_no_number_becomes_null_at_any_depth() -> None:
    text = dumps({"a": math.nan, "b": [math.inf, (-math.inf, 1.5)], "c": {"d": math.nan}})
    assert text == '{"a": null, "b": [null, [null, 1.5]], "c": {"d": null}}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", "NaN is not a finite number"),
        ("[Infinity]", "Infinity is not a finite number"),
        ('{"a": -Infinity}', "-Infinity is not a finite number"),
        ("1e999", "1e999 is too large a number"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("[" * 100_000, "nested too deeply"),
        (r'"\ud800"', "surrogates not allowed"),
        ("9" * 5000, "Exceeds the limit"),
        ("{", "Expecting"),
        (b"\xff", "decode"),
    ],
)
def test_what_is_no_json_is_refused(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        loads(text)


def calls(tree: ast.AST) -> list[ast.Call]:
    """Calls of ``json.dumps`` and ``json.dump``, whatever the module is called there."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("dump", "dumps")
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id != "jsontext"
    ]


def test_every_json_that_we_write_is_valid() -> None:
    paths = Path(onlygood.__file__).parent.rglob("*.py")
    found = {(path, call.lineno): call for path in paths for call in calls(ast.parse(path.read_bytes()))}
    assert len(found) >= 8
    lax = {
        place
        for place, call in found.items()
        if not any(
            word.arg == "allow_nan" and isinstance(word.value, ast.Constant) and word.value.value is False
            for word in call.keywords
        )
    }
    assert not lax
