"""Pack what npm brought for `onlygood page`: WebAssembly, and the licenses of all that a written page holds.

Run by ``make page`` after the programs are built. xz is a third smaller than what browsers unpack, so that
is how the files lie in the package; `onlygood page` packs them anew.
"""

import lzma
from importlib.metadata import files
from pathlib import Path

WEB = Path(__file__).parent
MODULES = WEB / "node_modules"
ASSETS = WEB.parent / "onlygood/deploy/page/assets"
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 24}]

PROGRAMS = {
    "onnxruntime.wasm": "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
    "jpeg.wasm": "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm",
}
# What is in worker.js, pixels.js and the WebAssembly.
LICENSES = {
    "onlygood": [WEB.parent / "LICENSE"],
    "@jsquash/jpeg, and libjpeg-turbo and MozJPEG in it": [
        MODULES / "@jsquash/jpeg/LICENSE",
        MODULES / "@jsquash/jpeg/codec/LICENSE.codec.md",
    ],
    "fast-png": [MODULES / "fast-png/LICENSE"],
    "iobuffer": [MODULES / "iobuffer/LICENSE"],
    "fflate": [MODULES / "fflate/LICENSE"],
}


def _of_onnxruntime(name: str) -> Path:
    """A file of the Python package, which is built from the same repository; npm's has no licenses in it."""
    (found,) = (path for path in files("onnxruntime") or [] if path.name == name)
    return Path(str(found.locate()))


def main() -> None:
    """Write the packed files."""
    for name, source in PROGRAMS.items():
        _write(name, (MODULES / source).read_bytes())
    texts = LICENSES | {
        "onnxruntime-web and onnxruntime-common": [_of_onnxruntime("LICENSE")],
        "what onnxruntime holds of others": [_of_onnxruntime("ThirdPartyNotices.txt")],
    }
    parts = ["Licenses of what is in this folder, beside the model:", *(f"- {title}" for title in texts)]
    for title, paths in texts.items():
        parts += ["", "=" * 80, title, "=" * 80, *(path.read_text(encoding="utf-8") for path in paths)]
    _write("licenses.txt", "\n".join(parts).encode())


def _write(name: str, data: bytes) -> None:
    packed = lzma.compress(data, format=lzma.FORMAT_XZ, filters=FILTERS)
    (ASSETS / f"{name}.xz").write_bytes(packed)


if __name__ == "__main__":
    main()
