import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlygood.runtime.errors import ImageError, OnlygoodError
from onlygood.runtime.far.copy import copy_of
from onlygood.runtime.far.find import find_far
from onlygood.runtime.images.files import Findings, find_images
from onlygood.runtime.images.remote import Remote, looks_far, reason, url_of, without_secrets

pa = pytest.importorskip("pyarrow", reason="the extra cloud is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="the extra cloud is not installed")

Gray = Callable[[str, int], Path]
NAMES = ["a.png", "b.png", "sub/c.png"]


@pytest.fixture
def folder(tmp_path: Path, gray: Gray) -> Path:
    """Three images, in two folders, and what is none."""
    for value, name in enumerate(NAMES):
        gray(f"in/{name}", 50 + value)
    (tmp_path / "in/labels.json").write_text("{}")
    (tmp_path / "in/.hidden.png").write_bytes(b"x")
    return tmp_path / "in"


def packed(folder: Path, kind: str) -> Path:
    path = folder.parent / f"shard.{kind}"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, file.relative_to(folder))
    elif kind == "parquet":
        images = [file.read_bytes() for file in files if file.suffix == ".png" and file.name[0] != "."]
        pq.write_table(pa.table({"image": images, "label": list(range(len(images)))}), path)
    else:
        with tarfile.open(path, f"w:{'gz' if kind.endswith('gz') else ''}") as archive:
            for file in files:
                archive.add(file, file.relative_to(folder).as_posix())
    return path


@pytest.fixture
def store(folder: Path) -> Iterator[str]:
    """The folder and its archives in a store behind fsspec, which is this process's memory."""
    system = fsspec.filesystem("memory")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            system.pipe(f"/bucket/in/{path.relative_to(folder).as_posix()}", path.read_bytes())
    for kind in ("tar", "zip", "parquet"):
        system.pipe(f"/bucket/shard.{kind}", packed(folder, kind).read_bytes())
    yield "memory://bucket"
    system.rm("/bucket", recursive=True)


def contents(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in NAMES]


def test_an_object_that_grew_since_it_was_listed_is_read_whole_or_refused(folder: Path, store: str) -> None:
    content = (folder / "a.png").read_bytes()
    image = Remote(f"{store}/in/a.png", size=len(content) - 1)
    assert image.read(len(content)) == content
    with pytest.raises(ImageError, match=f"larger than {len(content) - 1} bytes"):
        image.read(len(content) - 1)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tgz", "zip", "parquet"])
def test_what_an_archive_of_this_machine_holds(folder: Path, kind: str) -> None:
    path, findings = packed(folder, kind), Findings()
    found = list(find_far(path, findings=findings))
    assert [image.read(10**6) for image in found if isinstance(image, Remote)] == contents(folder)
    assert len({str(image) for image in found}) == 3
    if kind != "parquet":
        scheme = "zip" if kind == "zip" else "tar"
        assert [str(image) for image in found] == [f"{scheme}://{name}::{path}" for name in NAMES]
        assert findings.left_alone() == "left alone: 1 .json"


@pytest.mark.parametrize("where", ["in", "shard.tar", "shard.zip", "shard.parquet", "*.tar", "in/*.png"])
def test_what_a_store_holds(folder: Path, store: str, where: str) -> None:
    found = list(find_far(Path(f"{store}/{where}")))  # the path loses a slash of the URL
    wanted = contents(folder)[:2] if where == "in/*.png" else contents(folder)
    assert [image.read(10**6) for image in found if isinstance(image, Remote)] == wanted
    assert all(image.size == len(content) for image, content in zip(found, wanted, strict=True))


@pytest.mark.parametrize("where", ["in", "shard.tar", "shard.zip"])
def test_the_name_of_a_row_leads_to_its_image_again(folder: Path, store: str, where: str) -> None:
    name = str(list(find_far(Path(f"{store}/{where}")))[2])
    (image,) = find_far(Path(name))
    assert isinstance(image, Remote)
    assert image.read(10**6) == contents(folder)[2]


def test_folders_hidden_and_excluded_names_are_as_of_folders_here(folder: Path, store: str) -> None:
    assert [str(image) for image in find_far(Path(f"{store}/in"), recursive=False)] == [
        "memory:///bucket/in/a.png",
        "memory:///bucket/in/b.png",
    ]
    assert len(list(find_far(Path(f"{store}/in"), exclude=["sub"]))) == 2
    assert len(list(find_far(Path(f"{store}/shard.tar"), exclude=["sub/*"]))) == 2
    assert len(list(find_far(Path(f"{store}/shard.zip"), recursive=False))) == 2


def test_a_file_url_is_a_path(folder: Path) -> None:
    named = folder.rename(folder.with_name("two words"))
    url = Path(named.as_uri())
    assert list(find_far(url)) == list(find_images([named]))
    assert copy_of(url, named, print) == named
    packed(named, "tar")
    assert len(list(find_far(Path((named.parent / "shard.tar").as_uri())))) == 3


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://none/x", "memory://none/x: cannot be read"),
        ("memory://none/*.tar", "nothing matches"),
        ("nosuch://bucket/x", "Protocol not known"),
        ("gs://bucket/x", "pip install 'onlygood"),
    ],
)
def test_what_is_not_there_is_said(url: str, words: str) -> None:
    with pytest.raises(OnlygoodError, match=words):
        list(find_far(Path(url)))


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_a_damaged_archive_gives_what_came_before_and_then_says_so(folder: Path, kind: str) -> None:
    path = packed(folder, kind)
    path.write_bytes(path.read_bytes()[:-400] if kind != "tar" else b"x" * 700)
    with pytest.raises(OnlygoodError, match=r"shard.*: .*archive|shard.*cannot be read"):
        list(find_far(path))


@given(data=st.binary(max_size=600), kind=st.sampled_from(["x.tar", "x.zip", "x.tgz", "x.parquet"]))
def test_whatever_an_archive_is_it_is_no_fault(data: bytes, kind: str) -> None:
    system = fsspec.filesystem("memory")
    system.pipe(f"/any/{kind}", data)
    try:
        for image in find_far(Path(f"memory://any/{kind}")):
            assert isinstance(image, Remote)
    except OnlygoodError:
        pass


def test_tables_name_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"left": [b"1"], "right": [b"2"], "n": [3]}), path)
    with pytest.raises(OnlygoodError, match="these may: left, right"):
        list(find_far(path))
    pq.write_table(pa.table({"n": [3]}), path)
    with pytest.raises(OnlygoodError, match="its columns are n"):
        list(find_far(path))
    pq.write_table(
        pa.table({"photo": [{"bytes": b"1", "path": "a"}, {"bytes": None, "path": "b"}, None]}), path
    )
    assert [image.content for image in find_far(path) if isinstance(image, Remote)] == [b"1", b"", b""]


def test_a_member_larger_than_any_image_is_not_read() -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        member = tarfile.TarInfo("a.png")
        member.size = 1000
        archive.addfile(member, io.BytesIO(bytes(1000)))
    system = fsspec.filesystem("memory")
    system.pipe("/big/a.tar", data.getvalue())
    (image,) = find_far(Path("memory://big/a.tar"))
    assert isinstance(image, Remote)
    with pytest.raises(ImageError, match="larger than 999 bytes"):
        image.read(999)


def test_an_object_of_unknown_size_is_read_no_further_than_allowed() -> None:
    fsspec.filesystem("memory").pipe("/one/a.png", bytes(1000))
    assert len(Remote("memory://one/a.png").read(1000)) == 1000
    with pytest.raises(ImageError, match="larger than 999 bytes"):
        Remote("memory://one/a.png").read(999)
    with pytest.raises(ImageError, match="no such file"):
        Remote("memory://one/b.png").read(999)


def test_copies_keep_folders_and_are_not_fetched_twice(folder: Path, store: str, tmp_path: Path) -> None:
    said: list[str] = []
    for where in ("in", "shard.tar", "shard.zip", "*.tar"):
        root = copy_of(Path(f"{store}/{where}"), tmp_path / "cache", said.append)
        inside = root / "shard.tar" if "*" in where else root
        assert [path.relative_to(inside).as_posix() for path in find_images([root])] == NAMES
        assert [path.read_bytes() for path in find_images([root])] == contents(folder)
        again = copy_of(Path(f"{store}/{where}"), tmp_path / "cache", said.append)
        assert again == root
    assert "3 images, 3 of them fetched" in said[2]
    assert "3 images, 0 of them fetched" in said[3]
    assert said[-1].startswith(f"{store}/*.tar: ")
    table = copy_of(Path(f"{store}/shard.parquet"), tmp_path / "cache", said.append)
    assert sorted(path.name for path in table.iterdir()) == [f"{n:09}.png" for n in range(3)]


def test_what_went_from_the_source_goes_from_the_copy(store: str, tmp_path: Path) -> None:
    root = copy_of(Path(f"{store}/in"), tmp_path, print)
    fsspec.filesystem("memory").rm("/bucket/in/b.png")
    copy_of(Path(f"{store}/in"), tmp_path, print)
    assert [path.name for path in find_images([root])] == ["a.png", "c.png"]


def test_no_member_leads_out_of_the_copy(gray: Gray, tmp_path: Path) -> None:
    image = gray("a.png", 1)
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name in ("../../out.png", "/abs.png", "ok/../in.png"):
            member = tarfile.TarInfo(name)
            member.size = image.stat().st_size
            archive.addfile(member, io.BytesIO(image.read_bytes()))
    root = copy_of(tmp_path / "x.tar", tmp_path / "cache", print)
    assert sorted(path.relative_to(root).as_posix() for path in find_images([root])) == [
        "abs.png",
        "ok/in.png",
        "out.png",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "cache", "x.tar"]


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("s3://bucket/key.png", "s3://bucket/key.png"),
        ("tar://in/a.png::s3://bucket/x.tar", "tar://in/a.png::s3://bucket/x.tar"),
        ("folder/a.png", None),
        ("C:/folder/a.png", None),
        ("a:b", None),
    ],
)
def test_urls_survive_as_paths(typed: str, url: str | None) -> None:
    assert url_of(Path(typed)) == url
    assert looks_far(Path(typed)) == (url is not None)


def test_a_folder_here_wins_over_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s3:" / "x").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert url_of(Path("s3:/x")) is None


def test_secrets_are_not_shown() -> None:
    url = "https://me:word@host/a.png?X-Amz-Signature=abc"
    assert without_secrets(url) == str(Remote(url)) == "https://host/a.png"
    assert without_secrets("zip://a::https://h/x.zip?sig=1") == "zip://a::https://h/x.zip"
    assert without_secrets("ftp://me:word@host/a.png") == "ftp://host/a.png"
    said = reason(ValueError("403, url='https://u:p@h/x?token=abc', aws_secret_access_key=xyz\nmore"))
    assert "abc" not in said
    assert "xyz" not in said
    assert "more" in said


def test_names_for_files_beside_are_relative_and_differ() -> None:
    images = [Remote("s3://b/a:b.png"), Remote("s3://b/../c.png"), Remote("tar://a.png::s3://b/x.tar")]
    assert [image.local.as_posix() for image in images] == [
        "s3/b/a/b.png",
        "s3/b/%2E%2E/c.png",
        "tar/a.png/s3/b/x.tar",
    ]


def test_unreadable_bytes_in_a_table_are_refused_by_who_learns(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [b"no image"]}), tmp_path / "t.parquet")
    with pytest.raises(OnlygoodError, match="text, no picture"):
        copy_of(tmp_path / "t.parquet", tmp_path / "cache", print)


def test_numbers_are_read_as_they_were_written(folder: Path) -> None:
    """Rows of a table are told apart by their number, of all batches together."""
    images = [np.random.default_rng(n).bytes(50) for n in range(40)]
    pq.write_table(pa.table({"image": images}), folder / "t.parquet")
    found = [image for image in find_far(folder / "t.parquet") if isinstance(image, Remote)]
    assert [image.content for image in found] == images
    assert [str(image) for image in found][-1] == f"parquet://39::{folder / 't.parquet'}"
