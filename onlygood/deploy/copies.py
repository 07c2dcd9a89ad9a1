"""Copies of flagged images; each is there whole or not at all."""

import shutil
from pathlib import Path

from onlygood.runtime.atomic import replacing
from onlygood.runtime.errors import OnlygoodError
from onlygood.runtime.images.files import display, mark_output
from onlygood.runtime.images.remote import LARGEST, Place, Remote


class Copies:
    """A folder of copies, under the images' own paths, so that equal names do not collide."""

    def __init__(self, folder: Path) -> None:
        mark_output(folder, "copies of flagged images")
        self._folder = folder

    def add(self, image: Place) -> None:
        """Copy an image, in place of an earlier copy.

        Raises:
            OnlygoodError: it cannot be read or written whole; an earlier copy stays.
        """
        target = self._target(image)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as temporary:
                if isinstance(image, Remote):
                    temporary.write_bytes(image.read(LARGEST))
                    return
                shutil.copy2(image, temporary)
                written, wanted = temporary.stat().st_size, image.stat().st_size
                if written != wanted:
                    raise OnlygoodError(
                        f"{display(image)} changed while it was copied: {wanted:,} bytes, of which"
                        f" {written:,} arrived; is it still being written?"
                    )
        except OSError as error:
            raise OnlygoodError(
                f"{display(image)} cannot be copied to {display(target)}: {error.strerror or error}"
            ) from None

    def repair(self, image: Place) -> None:
        """Copy an image that an earlier run flagged, unless its copy is whole.

        Raises:
            OnlygoodError: as of `add`.
        """
        target = self._target(image)
        size = image.size if isinstance(image, Remote) else image.stat().st_size
        if not target.is_file() or target.stat().st_size != size:
            self.add(image)

    def _target(self, image: Place) -> Path:
        if isinstance(image, Remote):
            return self._folder / image.local
        parts = ["_" if part == ".." else part for part in image.parts if part != image.anchor]
        return self._folder.joinpath(*parts)
