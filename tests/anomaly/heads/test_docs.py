"""The page on heads names every head and every option."""

from pathlib import Path

from onlygood.anomaly.heads.registry import HEADS

PAGE = Path(__file__).parents[3] / "docs/heads.md"


def test_the_page_names_every_head_with_its_options() -> None:
    rows = {
        cells[1].strip(" `"): cells[4]
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if (cells := line.split("|"))[1:] and cells[1].startswith(" `")
    }
    assert set(rows) == set(HEADS)
    for name, options in rows.items():
        for field in HEADS[name].load().Config.model_fields:
            assert f"`{field}`" in options, f"{name}: {field}"
