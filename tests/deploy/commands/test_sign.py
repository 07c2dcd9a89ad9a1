"""`keygen`, `sign` and `--key` as they are typed, and by the tool minisign where it is at hand."""

import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minisign
import pytest
from typer.testing import Result

from onlygood.deploy.serve.models import Models, loader

Call = Callable[..., Result]
Gray = Callable[[str, int], Path]
TOOL = shutil.which("minisign")


@pytest.fixture
def keys(call: Call, tmp_path: Path) -> Path:
    """The path of a pair of keys without its endings."""
    assert call("keygen", tmp_path / "factory", "--no-password").exit_code == 0
    return tmp_path / "factory"


def public(keys: Path) -> Path:
    return Path(f"{keys}.pub")


def sign(call: Call, model: Path, keys: Path, *more: object) -> Result:
    return call("sign", model, "--secret-key", f"{keys}.key", *more)


def run(*arguments: object, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        [str(TOOL), *map(str, arguments)], input=typed, capture_output=True, text=True, check=False
    )


def test_keys_are_made_once_and_the_secret_one_for_its_owner_alone(
    call: Call, keys: Path, tmp_path: Path
) -> None:
    secret = Path(f"{keys}.key")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    before = secret.read_bytes()
    result = call("keygen", keys, "--no-password")
    assert result.exit_code == 2
    assert "a key is never replaced" in result.stderr
    secret.unlink()
    assert call("keygen", keys, "--no-password").exit_code == 2  # the public one is there
    assert (before[:4], secret.exists()) == (b"untr", False)
    result = call("keygen", tmp_path / "new")
    assert "nobody is here to type the password" in result.stderr
    assert not (tmp_path / "new.key").exists()


def test_a_signed_model_is_judged_with_and_no_other(
    call: Call, tiny: Path, gray: Gray, keys: Path, make_tiny: Callable[..., Path]
) -> None:
    image, key = gray("in/x.png", 51), public(keys)
    commands: list[list[Any]] = [
        ["score", tiny, image],
        ["check", tiny, image],
        ["watch", tiny, image.parent, "--once", "--settle", "0"],
        ["verify", tiny],
    ]
    for command in commands:
        result = call(*command, "--key", key)
        assert result.exit_code == 2
        assert "not signed" in result.output
        assert "x.png" not in result.stdout
    assert sign(call, tiny, keys).exit_code == 0
    for command in commands:
        assert call(*command, "--key", key).exit_code == 0
    tiny.write_bytes(make_tiny(score="ratio").read_bytes())  # whole and sealed, and of somebody else
    for command in commands:
        result = call(*command, "--key", key)
        assert result.exit_code == 2
        assert "the signature is not of this file" in result.output
        assert call(*command).exit_code == 0


def test_verify_shows_what_was_signed_along(call: Call, tiny: Path, keys: Path) -> None:
    done = sign(call, tiny, keys, "--comment", "line 3, released by Ada")
    text = done.stdout.split("--key ")[1].split()[0]
    told = call("verify", tiny, "--key", text).stdout
    assert "ok      signature  by the key " in told
    assert "who says: line 3, released by Ada" in told
    assert sign(call, tiny, keys, "--comment", "two\nlines").exit_code == 2


def test_the_comment_has_the_time_of_source_date_epoch(
    call: Call, tiny: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    odd = tiny.with_name("modèle\n.onnx")
    odd.write_bytes(tiny.read_bytes())
    sign(call, odd, keys)
    signature = Path(f"{odd}.minisig").read_text(encoding="utf-8")
    assert "trusted comment: timestamp:86400\tfile:mod\\xe8le\\n.onnx\thashed\n" in signature
    assert call("verify", odd, "--key", public(keys)).exit_code == 0


def test_only_models_are_signed(
    call: Call, keys: Path, tmp_path: Path, make_tiny: Callable[..., Path]
) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no model")
    for model in (tmp_path / "x.onnx", tmp_path / "none.onnx", make_tiny(sealed=False)):
        assert sign(call, model, keys).exit_code == 2
        assert not Path(f"{model}.minisig").exists()


def test_a_password_protects_the_secret_key(call: Call, tiny: Path, tmp_path: Path) -> None:
    right, wrong, empty = (tmp_path / name for name in ("right", "wrong", "empty"))
    right.write_text("Ångström 3\n", encoding="utf-8")
    wrong.write_text("angstrom 3\n", encoding="utf-8")
    empty.touch()
    keys = tmp_path / "locked"
    assert call("keygen", keys, "--password-file", right).exit_code == 0
    for file, words in ((wrong, "wrong password"), (empty, "no password in its first line")):
        result = sign(call, tiny, keys, "--password-file", file)
        assert result.exit_code == 2
        assert words in result.stderr
    assert "nobody is here" in sign(call, tiny, keys).stderr
    assert sign(call, tiny, keys, "--password-file", right).exit_code == 0
    assert call("verify", tiny, "--key", public(keys)).exit_code == 0


def test_what_is_no_secret_key_signs_nothing(call: Call, tiny: Path, keys: Path) -> None:
    result = call("sign", tiny, "--secret-key", public(keys))
    assert result.exit_code == 2
    assert "no secret key of minisign" in result.stderr


def test_calibrating_a_signed_model_says_that_the_signature_is_of_the_old_one(
    call: Call, tiny: Path, gray: Gray, keys: Path
) -> None:
    sign(call, tiny, keys)
    folder = [gray(f"good/{value}.png", value) for value in range(101, 120)].pop().parent
    result = call("calibrate", tiny, folder)
    assert result.exit_code == 0
    assert "is of the file as it was: sign it again" in result.stderr
    assert call("verify", tiny, "--key", public(keys)).exit_code == 2
    sign(call, tiny, keys)
    assert call("verify", tiny, "--key", public(keys)).exit_code == 0


def test_serve_takes_a_new_model_once_its_signature_is_there(
    call: Call, tiny: Path, keys: Path, make_tiny: Callable[..., Path], metadata_with: Any
) -> None:
    sign(call, tiny, keys)
    load = loader(
        threads=1, provider="cpu", rate=None, bit_depth=None, any_frame=False, key=str(public(keys))
    )
    models = Models([tiny], load)
    before = models.all()[0].detector.file.sha256
    tiny.write_bytes(make_tiny(metadata=metadata_with(name="other")).read_bytes())
    fresh, wrong = models.refresh(at_once=True)
    assert fresh == []
    assert "the signature is not of this file" in wrong[0]
    assert models.all()[0].detector.file.sha256 == before
    sign(call, tiny, keys)
    fresh, wrong = models.refresh(at_once=True)
    assert ([served.detector.metadata.name for served in fresh], wrong) == (["other"], [])


@pytest.mark.skipif(TOOL is None, reason="the tool minisign is not here")
def test_minisign_checks_what_we_sign_and_we_what_it_signs(call: Call, tiny: Path, tmp_path: Path) -> None:
    word = tmp_path / "word"
    word.write_text("secret\n", encoding="utf-8")
    ours = tmp_path / "ours"
    assert call("keygen", ours, "--password-file", word).exit_code == 0
    sign(call, tiny, ours, "--password-file", word)
    assert run("-Vm", tiny, "-p", public(ours)).returncode == 0
    signature = Path(f"{tiny}.minisig")
    signature.unlink()
    made = run("-Sm", tiny, "-s", f"{ours}.key", typed="secret\n")  # with the key that we locked
    assert made.returncode == 0, made.stderr
    assert call("verify", tiny, "--key", public(ours)).exit_code == 0
    data = tiny.read_bytes()
    tiny.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert run("-Vm", tiny, "-p", public(ours)).returncode != 0
    assert call("verify", tiny, "--key", public(ours)).exit_code == 2


def test_the_library_reads_the_key_that_we_write(keys: Path) -> None:
    secret = minisign.SecretKey.from_bytes(Path(f"{keys}.key").read_bytes())
    assert secret.get_public_key() == minisign.PublicKey.from_bytes(public(keys).read_bytes())
