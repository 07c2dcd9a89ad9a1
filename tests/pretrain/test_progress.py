"""The bar: on a terminal, where it is asked for, and nowhere else."""

import io

import pytest

from onlygood.pretrain.progress import Bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, shown: bool, counted: bool = True
) -> str:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stderr", stream)
    with Bar("scoring", shown=shown, counted=counted) as bar:
        bar.move(1, 4)
        bar.advance()
        bar.say("12 images/s")
    return stream.getvalue()


def test_it_says_what_goes_on_and_how_far(monkeypatch: pytest.MonkeyPatch) -> None:
    text = printed(Terminal(), monkeypatch, shown=True)
    assert all(words in text for words in ("scoring", "2/4", "12 images/s"))
    assert "50%" in printed(Terminal(), monkeypatch, shown=True, counted=False)


def test_nothing_is_shown_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed(Terminal(), monkeypatch, shown=False) == ""
    assert printed(io.StringIO(), monkeypatch, shown=True) == ""
