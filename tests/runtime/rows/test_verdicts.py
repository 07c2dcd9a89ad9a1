import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlygood.runtime.images.files import printable
from onlygood.runtime.rows.verdicts import (
    COLUMNS,
    Counts,
    Row,
    Settings,
    Stamp,
    Status,
    csv_line,
    exit_code,
    make_writer,
)

SETTINGS = Settings("abcdef012345", 0.85, 16)
GOOD = Row(Path("a.png"), Status.NORMAL, 0.85, 0.2, 0.75, 640, 480, 3.14159, stamp=Stamp(100, 7))
BAD = Row(Path("b.png"), Status.ANOMALOUS, 0.85, 0.9, 0.05, 640, 480, 2.0)
BROKEN = Row(Path("c.png"), Status.ERROR, 0.85, ms=1.0, error="file is truncated")

NAMES = st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name).map(os.fsdecode)


def written(format: str, *rows: Row, **options: bool) -> str:
    stream = io.StringIO(newline="")
    writer = make_writer(format, stream, SETTINGS, **options)
    for row in rows:
        writer.write(row)
    writer.finish()
    return stream.getvalue()


def test_csv_by_hand() -> None:
    assert written("csv", GOOD, BAD, BROKEN).splitlines() == [
        "path,status,score,threshold,anomalous,p_value,width,height,ms,error",
        "a.png,normal,0.2,0.85,0,0.75,640,480,3.1,",
        "b.png,anomalous,0.9,0.85,1,0.05,640,480,2.0,",
        "c.png,error,,0.85,,,,,1.0,file is truncated",
    ]


def test_jsonl_by_hand() -> None:
    assert json.loads(written("jsonl", GOOD)) == {
        "path": "a.png",
        "status": "normal",
        "score": 0.2,
        "threshold": 0.85,
        "anomalous": 0,
        "p_value": 0.75,
        "width": 640,
        "height": 480,
        "ms": 3.1,
        "error": "",
        "size": 100,
        "mtime_ns": 7,
        "bit_depth": 16,
        "any_frame": False,
        "model": "abcdef012345",
        "notes": [],
        "schema": 1,
    }


def test_text_by_hand() -> None:
    assert written("text", GOOD, BAD, BROKEN).splitlines() == [
        "status            score   p-value  path",
        "normal              0.2      0.75  a.png",
        "anomalous           0.9      0.05  b.png",
        "error                              c.png: file is truncated",
    ]


def test_color_marks_what_is_not_normal_and_keeps_the_columns() -> None:
    _, good, bad, broken = written("text", GOOD, BAD, BROKEN, color=True).splitlines()
    assert "\x1b" not in good
    assert bad.startswith("\x1b[31manomalous\x1b[0m  ")
    assert broken.startswith("\x1b[33merror    \x1b[0m  ")


@pytest.mark.parametrize("rows", [(), (GOOD,), (GOOD, BAD, BROKEN)])
def test_json_is_one_array_of_the_objects_of_jsonl(rows: tuple[Row, ...]) -> None:
    assert json.loads(written("json", *rows)) == [
        json.loads(line) for line in written("jsonl", *rows).splitlines()
    ]


def test_nothing_is_printed_of_no_rows_but_the_head_of_csv() -> None:
    assert written("text") == written("jsonl") == ""
    assert written("csv") == ",".join(COLUMNS) + "\n"


@given(NAMES)
def test_any_name_survives_csv_and_jsonl(name: str) -> None:
    row = Row(Path(name), Status.NORMAL, 0.85, 0.2)
    as_bytes = written("csv", row).encode("utf-8", "surrogateescape")  # as files and pipes are opened
    text = as_bytes.decode("utf-8", "surrogateescape")
    (record,) = csv.DictReader(io.StringIO(text, newline=""))
    assert os.fsencode(record["path"]) == os.fsencode(Path(name))
    line = written("jsonl", row)
    assert line.isascii()
    assert line.count("\n") == 1
    assert os.fsencode(json.loads(line)["path"]) == os.fsencode(Path(name))


@given(NAMES)
def test_text_is_one_printable_line_whatever_the_name(name: str) -> None:
    line = printable(name)
    assert line.isprintable()
    assert line.encode("utf-8")


def test_printable_by_hand() -> None:
    assert printable("naïve.png") == "naïve.png"
    assert printable(os.fsdecode(b"caf\xe9\n\x1b[31m.png")) == "caf\\xe9\\n\\x1b[31m.png"


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_scores_come_back_as_the_float32_they_were(score: float) -> None:
    row = Row(Path("a"), Status.NORMAL, 0.85, score)
    assert np.float32(json.loads(written("jsonl", row))["score"]) == np.float32(score)


@pytest.mark.parametrize(
    ("anomalous", "unreadable", "codes"),
    [
        (0, 0, (0, 0, 0, 0, 0)),
        (3, 0, (0, 1, 0, 0, 1)),
        (0, 2, (2, 2, 2, 0, 0)),
        (3, 2, (2, 2, 2, 0, 1)),
        (0, 10, (2, 2, 2, 2, 2)),  # nothing was left to judge
    ],
)
def test_exit_codes(anomalous: int, unreadable: int, codes: tuple[int, ...]) -> None:
    counts = Counts(10, anomalous, unreadable=unreadable)
    assert codes == (
        exit_code(counts, judge=False),
        exit_code(counts, judge=True),
        exit_code(counts, judge=True, exit_zero=True),
        exit_code(counts, judge=False, skip_errors=True),
        exit_code(counts, judge=True, skip_errors=True),
    )


def test_counts_in_words() -> None:
    counts = Counts()
    counts.add(Status.ANOMALOUS)
    assert str(counts) == "1 image, 1 anomalous, 0 unreadable"
    counts.add(Status.ERROR)
    counts.add(Status.NORMAL)
    assert str(counts) == "3 images, 1 anomalous, 1 unreadable"


FORMULAS = ["=1+1.png", "+x.png", "-x.png", "@x.png", "\tx.png", "\rx.png"]


@pytest.mark.parametrize("name", [*FORMULAS, "x=1.png", "'=x.png", "1.png", "=a,b.png"])
def test_names_are_exact_by_default_and_no_formulas_on_request(name: str) -> None:
    row = Row(Path(name), Status.ERROR, -0.5, -0.25, error="=no")
    exact, safe = (
        next(csv.DictReader(io.StringIO(text, newline="")))
        for text in (written("csv", row), written("csv", row, spreadsheet_safe=True))
    )
    assert (exact["path"], exact["error"]) == (name, "=no")
    assert safe["path"] == ("'" + name if name[0] in "=+-@\t\r" else name)
    assert safe["error"] == "'=no"
    assert (safe["score"], safe["threshold"]) == ("-0.25", "-0.5")  # numbers stay numbers


@given(st.lists(st.text(), min_size=2, max_size=5), st.booleans())
def test_a_csv_line_is_one_record(values: list[str], safe: bool) -> None:
    (record,) = csv.reader(io.StringIO(csv_line(values, spreadsheet_safe=safe), newline=""))
    assert [text.removeprefix("'") if safe else text for text in record] == [
        text.removeprefix("'") if safe else text for text in values
    ]
