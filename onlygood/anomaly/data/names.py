"""The meaning of names of folders, files and labels."""

import os
import re
import unicodedata
from functools import lru_cache
from pathlib import Path, PurePath

# Compared in lower case without spaces, dashes, underscores and dots.
_NAMES = {
    "good": r"good|ok(ay)?|normal|free|clean|healthy|intact|undamaged|flawless|pass(ed)?|gut|io"
    r"|(defect|fault|anomaly)free|non?defect(s|ive)?|nonanomalous",
    "bad": r"bad|ko|ng|nok|nio|not?ok|not?good|anomal(y|ies|ous)|abnormal|defect(s|ive)?|faulty|damaged"
    r"|fail(ed)?|reject(ed)?|schlecht",
    "mask": r"(defect|anomaly|pixel)?(masks?|groundtruths?)|gts?|segmentation(class|object)(aug)?"
    r"|labels?|annotations?|segmentations?|segs?|segmaps?",
    "images": r"images?|imgs?|pictures|photos|jpegimages",  # no meaning for the class
}
# Names of folders that say what they are for, or that a program made up, and not what is in the pictures.
_NO_PRODUCT = (
    r"train(ing)?|test(ing)?|val(id(ation)?)?|calibration|data(sets?)?|raw|tmp|temp|new|copies|[0-9a-f]{16}"
)
_OF_A_MASK = r"masks?|labels?|gts?|ground[-_ ]?truths?|segs?|segmentations?|annotations?"
_SUFFIX = re.compile(rf"[-_. ]({_OF_A_MASK})([-_. ]?\d+)?$", re.IGNORECASE)
_PREFIX = re.compile(rf"^({_OF_A_MASK})[-_. ]", re.IGNORECASE)
_ENDING = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp)$", re.IGNORECASE)


@lru_cache(4096)
def meaning(name: str) -> str:
    """The meaning of a folder or label, one of the keys above; "" if it has none."""
    return next((kind for kind, names in _NAMES.items() if re.fullmatch(names, plain(name))), "")


def product(folder: Path) -> str:
    """What a folder of images is of, as far as names tell: ``bolts`` for ``line 3/bolts/train/good``.

    That is its own name, or that of the nearest folder around it which means neither a class nor a part of a
    data set; "" if there is none below the user's home. Links are not followed: the name that a person gave
    is meant.
    """
    whole, home = Path(os.path.abspath(folder)), Path(os.path.expanduser("~"))  # noqa: PTH100, PTH111
    for here in (whole, *whole.parents):
        if here == home:
            break
        if here.name and not meaning(here.name) and not re.fullmatch(_NO_PRODUCT, plain(here.name)):
            return here.name
    return ""


def plain(name: str) -> str:
    """The name as names are compared: lower case, without spaces, dashes, underscores and dots."""
    return "".join(character for character in name.lower() if character not in " -_.")


def stem(path: PurePath) -> str:
    """The stem in the form in which stems are compared, with composed accents."""
    return composed(path.stem)


def composed(name: str) -> str:
    """The name with each accented letter as one character."""
    return unicodedata.normalize("NFC", name)


def image_stems(mask_stem: str) -> list[str]:
    """Stems of images to which a mask with this stem may belong.

    ``X_mask``, ``X-GT``, ``X_label_2``, ``mask_X`` and ``X.jpg_mask`` belong to X.
    """
    found = [re.sub(pattern, "", mask_stem) for pattern in (_SUFFIX, _PREFIX)]
    found = [name for name in found if name and name != mask_stem]
    return [*found, *(re.sub(_ENDING, "", name) for name in found if re.search(_ENDING, name))]
