"""Files that the report is made of; the page for browsers shares one of them."""

from importlib.resources import files


def asset(name: str) -> str:
    """The text of a file."""
    return (files("onlygood.deploy.report") / "assets" / name).read_text(encoding="utf-8")


def styled(css: str) -> str:
    """Rules of a page behind those that our pages share."""
    return asset("base.css") + css
