"""Finding files: order, links, names of any bytes, lists; and the threads that are ours."""

import io
import os
import tempfile
import tracemalloc
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.images.files import (
    OUTPUT_MARKER,
    Findings,
    as_on_disk,
    display,
    find_images,
    mark_output,
    read_list,
)
from onlygood.runtime.images.reader import read_bytes
from onlygood.runtime.threads import available_cpus, available_memory


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """b.png, a/2.JPG, a/10.tiff, a/deep/x.webp, beside a text, a hidden file and a hidden folder."""
    for name in (
        "b.png",
        "a/2.JPG",
        "a/10.tiff",
        "a/deep/x.webp",
        "a/notes.txt",
        "a/._2.JPG",
        ".cache/y.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def found(root: Path, *paths: Path, **options: object) -> list[str]:
    return [path.relative_to(root).as_posix() for path in find_images(paths or (root,), **options)]


def test_images_in_the_order_of_names(tree: Path) -> None:
    assert found(tree) == ["a/10.tiff", "a/2.JPG", "a/deep/x.webp", "b.png"]


def test_not_recursive(tree: Path) -> None:
    assert found(tree, recursive=False) == ["b.png"]


@pytest.mark.parametrize("pattern", ["deep", "a/deep", "*.webp", "a/*/x.webp"])
def test_exclude_by_name_and_by_path(tree: Path, pattern: str) -> None:
    assert found(tree, exclude=[pattern]) == ["a/10.tiff", "a/2.JPG", "b.png"]


def test_named_files_stand_as_they_are(tree: Path) -> None:
    assert found(tree, tree / "a/notes.txt", tree / "none.png") == ["a/notes.txt", "none.png"]


def test_text_paths(tree: Path) -> None:
    assert list(find_images([str(tree / "b.png")])) == [tree / "b.png"]


def test_links_to_files_are_read_and_broken_ones_reported(tree: Path) -> None:
    (tree / "c.png").symlink_to(tree / "b.png")
    (tree / "d.png").symlink_to(tree / "gone.png")
    (tree / "e.png").symlink_to(tree / "e.png")  # to itself
    assert found(tree)[3:] == ["b.png", "c.png", "d.png", "e.png"]
    for name in ("d.png", "e.png"):
        with pytest.raises(ImageError):
            read_bytes(tree / name)


def test_links_to_folders_only_on_demand_and_never_twice(tree: Path) -> None:
    (tree / "a/loop").symlink_to(tree)
    (tree / "z").symlink_to(tree / "a")
    assert found(tree) == ["a/10.tiff", "a/2.JPG", "a/deep/x.webp", "b.png"]
    assert found(tree, follow_symlinks=True) == ["a/10.tiff", "a/2.JPG", "a/deep/x.webp", "b.png"]


def test_linked_folder_elsewhere_is_followed(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "far.png").touch()
    (tree / "link").symlink_to(elsewhere)
    assert "link/far.png" not in found(tree)
    assert "link/far.png" in found(tree, follow_symlinks=True)


def test_folder_that_cannot_be_listed_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "deep":
            raise PermissionError(13, "Permission denied")  # root may list everything: feign it
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert found(tree) == ["a/10.tiff", "a/2.JPG", "a/deep", "b.png"]


def test_what_onlygood_wrote_is_entered_by_name_only(tree: Path) -> None:
    mark_output(tree / "report", "report")
    (tree / "report/deep").mkdir()
    for name in ("roc.png", "deep/overlay.png"):
        (tree / "report" / name).touch()
    findings = Findings()
    assert [path.name for path in find_images([tree], findings=findings)] == [
        "10.tiff",
        "2.JPG",
        "x.webp",
        "b.png",
    ]
    assert (findings.ours, findings.empty) == ([tree / "report"], [])
    assert found(tree, tree / "report") == ["report/deep/overlay.png", "report/roc.png"]
    assert found(tree, tree / "report/deep") == ["report/deep/overlay.png"]
    mark_output(tree / "report", "report")  # ours already: whatever it holds
    assert (tree / "report" / OUTPUT_MARKER).read_text().startswith("report, written by onlygood")


def test_images_of_others_are_not_hidden_by_a_marker(tree: Path) -> None:
    with pytest.raises(OnlygoodError, match=r"a holds images .* such as .*10\.tiff"):
        mark_output(tree / "a", "report")
    assert len(found(tree)) == 4
    (tree / "text").mkdir()
    (tree / "text/notes.txt").touch()
    mark_output(tree / "text", "report")


def test_folders_without_images_are_noted(tree: Path) -> None:
    (tree / "empty/inner").mkdir(parents=True)
    findings = Findings()
    paths = [tree / "empty", tree / "a", tree / "gone"]
    assert len(list(find_images(paths, exclude=["*.webp"], findings=findings))) == 3
    assert (findings.ours, findings.empty) == ([], [tree / "empty"])


@given(st.lists(st.text("aéüñ뷁Å", min_size=1, max_size=4), min_size=1, max_size=3), st.data())
def test_a_path_is_found_however_its_accents_are_composed(parts: list[str], data: st.DataObject) -> None:
    forms = st.sampled_from(("NFC", "NFD"))
    stored, asked = (Path(*(normalize(data.draw(forms), part) for part in parts)) for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / stored).parent.mkdir(parents=True, exist_ok=True)
        (root / stored).touch()
        assert as_on_disk(root / asked) == root / stored
        (root / stored).unlink()
        assert as_on_disk(root / asked) == root / asked


def test_names_of_any_bytes(tmp_path: Path) -> None:
    names = [b"caf\xe9.png", b'new\nline, "quoted".jpg', b"\xff\xfe.bmp"]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).touch()  # noqa: PTH118
    assert sorted(os.fsencode(path.name) for path in find_images([tmp_path])) == sorted(names)


def test_many_folders_take_no_memory(tmp_path: Path) -> None:
    for folder in range(60):
        (tmp_path / str(folder)).mkdir()
        for file in range(40):
            (tmp_path / str(folder) / f"{file}.png").touch()
    peaks = []
    for _ in range(3):  # the interpreter's table of strings may grow meanwhile, but not each time
        tracemalloc.start()
        assert sum(1 for _ in find_images([tmp_path])) == 2400
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert min(peaks) < 100_000  # bytes; the 2400 paths would take 500 000


# --- lists

NAME = st.binary(min_size=1, max_size=20)


@given(st.lists(NAME.filter(lambda name: b"\0" not in name)))
def test_null_separated_names_round_trip(names: list[bytes]) -> None:
    stream = io.BytesIO(b"".join(name + b"\0" for name in names))
    assert [Path(os.fsdecode(name)) for name in names] == list(read_list(stream, null=True))


@given(st.lists(NAME.filter(lambda name: b"\n" not in name and not name.endswith(b"\r") and name.strip())))
def test_lines_round_trip(names: list[bytes]) -> None:
    for end in (b"\n", b"\r\n"):
        assert [Path(os.fsdecode(name)) for name in names] == list(read_list(io.BytesIO(end.join(names))))


def test_list_in_a_file_with_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b"a.png\n\n  \r\nb c.png\r\n")
    assert list(read_list(tmp_path / "list.txt")) == [Path("a.png"), Path("b c.png")]


def test_list_longer_than_a_chunk() -> None:
    names = [f"folder/{i:06d}.png" for i in range(10_000)]
    assert list(read_list(io.BytesIO("\n".join(names).encode()))) == [Path(name) for name in names]


def test_display_can_always_be_encoded() -> None:
    assert display(os.fsdecode(b"caf\xe9 \xc3\xa9.png")) == "caf\\xe9 é.png"


# --- threads


@pytest.fixture
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))


@pytest.mark.usefixtures("sixteen_cores")
@pytest.mark.parametrize(
    ("quotas", "cpus"),
    [
        ({}, 16),
        ({"": "max 100000"}, 16),
        ({"": "150000 100000"}, 2),  # rounded up
        ({"": "1000 100000"}, 1),
        ({"": "3200000 100000"}, 16),  # the affinity is less
        ({"box": "400000 100000", "box/inner": "max 100000"}, 4),  # a limit above holds too
        ({"box": "400000 100000", "box/inner": "200000 100000", "other": "100000 100000"}, 2),
        ({"box/inner": "garbage"}, 16),
    ],
)
def test_the_least_of_affinity_and_quotas(tmp_path: Path, quotas: dict[str, str], cpus: int) -> None:
    (tmp_path / "cgroup").write_text("1:cpu:/old\n0::/box/inner\n")
    for group, text in quotas.items():
        (tmp_path / "fs" / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / group / "cpu.max").write_text(text + "\n")
    assert available_cpus(tmp_path / "cgroup", tmp_path / "fs") == cpus


@pytest.mark.parametrize(("limit", "expected"), [("max", 3000), ("2000", 2000), ("4000", 3000)])
def test_memory_is_that_of_the_machine_or_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 3, "SC_PAGE_SIZE": 1000}.__getitem__)
    (tmp_path / "cgroup").write_text("0::/box\n")
    (tmp_path / "box").mkdir()
    (tmp_path / "box/memory.max").write_text(limit + "\n")
    assert available_memory(tmp_path / "cgroup", tmp_path) == expected


@pytest.mark.usefixtures("sixteen_cores")
def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "none", tmp_path) == 16


def test_pictures_that_cannot_be_read_are_found_and_other_files_counted(tmp_path: Path) -> None:
    pictures = ["a.heic", "b.DCM", "c.ppm", "d.jp2", "e.avif", "f.gif", "g.psd", "h.nef", "i.exr", "j.jpg"]
    for name in [*pictures, "x.txt", "y.TXT", "z.pdf", "README", "sub/w.csv", ".hidden.txt"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    findings = Findings()
    assert [path.name for path in find_images([tmp_path], findings=findings)] == pictures
    assert findings.left_alone() == "left alone: 2 .txt, 1 without ending, 1 .csv, 1 .pdf"
    assert Findings().left_alone() == ""


def test_endings_without_number_take_no_memory(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"a.{number}").touch()
    findings = Findings()
    assert list(find_images([tmp_path], findings=findings)) == []
    assert len(findings.others) == 51
    assert findings.others["of other endings"] == 150
