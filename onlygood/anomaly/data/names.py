"""The meaning of names of folders, files and labels."""

import re
import unicodedata
from functools import lru_cache
from pathlib import PurePath

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
_OF_A_MASK = r"masks?|labels?|gts?|ground[-_ ]?truths?|segs?|segmentations?|annotations?"
_SUFFIX = re.compile(rf"[-_. ]({_OF_A_MASK})([-_. ]?\d+)?$", re.IGNORECASE)
_PREFIX = re.compile(rf"^({_OF_A_MASK})[-_. ]", re.IGNORECASE)
_ENDING = re.compile(r"\.(jpe?g|png|bmp|tiff?|webp)$", re.IGNORECASE)


@lru_cache(4096)
def meaning(name: str) -> str:
    """The meaning of a folder or label, one of the keys above; "" if it has none."""
    return next((kind for kind, names in _NAMES.items() if re.fullmatch(names, plain(name))), "")


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
