"""Which format a file has, told by its first bytes, and the messages for formats that are not read."""

import re
from pathlib import Path

from onlygood.runtime.errors import ImageError

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WebP", "GIF", "JPEG 2000", "AVIF", "HEIC", "Netpbm")
HEAD = 4096  # bytes that tell what a file is

# File endings, in lower case, by which pictures are found in folders.
READ_SUFFIXES = frozenset(
    """.jpg .jpeg .jpe .jfif .png .bmp .dib .tif .tiff .webp .gif .jp2 .j2k .j2c .jpc .jpf .jpx .avif
    .heic .heif .hif .ppm .pgm .pbm .pnm""".split()  # noqa: SIM905 - forty lines otherwise
)
RAW_SUFFIXES = frozenset(
    """.3fr .arw .cr2 .cr3 .dcr .dng .erf .iiq .k25 .kdc .mef .mos .mrw .nef .nrw .orf .pef .raf .raw .rw2
    .rwl .sr2 .srf .srw .x3f""".split()  # noqa: SIM905
)
# Pictures that are not read: each is a row with a reason, never passed over in silence.
UNREAD_SUFFIXES = RAW_SUFFIXES | frozenset(
    """.dcm .dicom .psd .psb .svg .svgz .exr .hdr .pfm .pam .jxl .jxr .wdp .hdp .tga .ico .cur .pcx .xcf
    .fits .fit .fts .dds .qoi .sgi .icns .emf .wmf .eps .bpg .flif .mng .ras .xbm .xpm .czi .nd2 .lif
    .svs""".split()  # noqa: SIM905
)

_SAVE = "save it as PNG, TIFF or JPEG"
_DEEP = f"which is not read; {_SAVE} of 8 or 16 bits"
_RAW = f"a camera raw file, which is not read; develop it, and {_SAVE}"
_KINDS = f"read are {', '.join(FORMATS[:-1])} and {FORMATS[-1]}"

# How a file begins, in the order in which it is asked.
_READ = (
    ("JPEG", rb"\xff\xd8\xff"),
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("TIFF", rb"(?:II[*+]\0|MM\0[*+])(?!.{4}CR)"),  # a Canon raw file says CR behind it
    ("WebP", rb"RIFF.{4}WEBP"),
    ("GIF", rb"GIF8[79]a"),
    ("JPEG 2000", rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n"),
    ("Netpbm", rb"P[1-6][\s#]"),
    ("AVIF", rb".{4}ftypavi[fs]"),
    ("HEIC", rb".{4}ftyphe[iv][cxms]"),
    ("AVIF", rb".{4}ftypm[is]f1.{4}(?:(?!hei|hev).{4}){0,9}avi[fs]"),  # of general kind, and AVIF
    ("HEIC", rb".{4}ftypm[is]f1.{4}(?:.{4}){0,9}he[iv][cxms]"),
    ("BMP", rb"BM"),
)
_OTHERS = (
    ("file is empty", rb"$"),
    (_RAW, rb"II\*\0|MM\0\*|FUJIFILMCCD-RAW|IIRO|IIU\0|.{4}ftypcrx "),
    ("a video, no picture", rb".{4}ftyp|\x1aE\xdf\xa3"),
    (f"a DICOM picture, {_DEEP}", rb".{128}DICM"),
    (f"a Photoshop picture (PSD), which is not read; {_SAVE}", rb"8BPS"),
    (f"an OpenEXR picture, {_DEEP}", rb"\x76\x2f\x31\x01"),
    (f"a Radiance HDR picture, {_DEEP}", rb"#\?R"),
    (f"a JPEG XL picture, which is not read; {_SAVE}", rb"\xff\x0a|\0\0\0\x0cJXL "),
    (f"a JPEG XR picture, which is not read; {_SAVE}", rb"II\xbc"),
    (f"an icon (ICO), which is not read; {_SAVE}", rb"\0\0\x01\0"),
    (f"a DirectDraw picture (DDS), which is not read; {_SAVE}", rb"DDS "),
    (f"a QOI picture, which is not read; {_SAVE}", rb"qoif"),
    (f"a GIMP picture (XCF), which is not read; {_SAVE}", rb"gimp xcf"),
    (f"a FITS picture, {_DEEP}", rb"SIMPLE  ="),
    (f"a floating-point Netpbm picture (PFM), {_DEEP}", rb"P[fF]\s"),
    (f"a Netpbm picture of the kind PAM, which is not read; {_SAVE}", rb"P7\s"),
    (f"a NumPy array, no picture; {_SAVE}", rb"\x93NUMPY"),
    (f"a PostScript or PDF file, no picture; {_SAVE}", rb"%!PS|%PDF"),
    ("an archive or office document, no picture", rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!|\xd0\xcf\x11\xe0"),
    ("a sound or a video, no picture", rb"RIFF|OggS|ID3|fLaC"),
    ("a program, no picture", rb"\x7fELF|MZ|#!"),
    (
        f"a drawing (SVG), which is not read; {_SAVE}",
        rb"(?:\xef\xbb\xbf)?\s*<(?i:(?:\?xml|!--|!doctype).*<)?svg",
    ),
    ("a web page, no picture; was it fetched in place of one?", rb"\s*<(?i:!doctype html|html)"),
    (f"nothing but zeros at its beginning, no picture; {_KINDS}", rb"\0+$"),
    (f"text, no picture; {_KINDS}", rb"[\t-\r\x1b -~]*$"),
    (f"not a picture of a known kind; {_KINDS}", rb""),
)


def format_of(head: bytes) -> str:
    """The name in `FORMATS` of the format that a file's first `HEAD` bytes show.

    Raises:
        ImageError: none of these formats; the message says what the file is, if the bytes tell.
    """
    for name, pattern in _READ:
        if re.match(pattern, head, re.DOTALL):
            return name
    raise ImageError(next(words for words, pattern in _OTHERS if re.match(pattern, head, re.DOTALL)))


def refuse_raw(path: Path, head: bytes) -> None:
    """Refuse raw files of cameras by their ending: some look like a TIFF whose first page is a thumbnail.

    Raises:
        ImageError: it is such a file.
    """
    if path.suffix.lower() in RAW_SUFFIXES and head.startswith((b"II*\0", b"MM\0*")):
        raise ImageError(_RAW)
