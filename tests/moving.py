"""Frames of a textured thing that moves before a textured ground."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

HEIGHT, WIDTH, THING = 128, 160, 64
STEP = (3, 1)  # px a frame, to the right and down
Video = list[NDArray[np.uint8]]


def texture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Smooth enough to be followed, rough enough to have corners."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    soft = np.asarray(Image.fromarray(noise).filter(ImageFilter.GaussianBlur(2)), np.float64)
    return (128 + 4 * (soft - 128)).clip(0, 255).astype(np.uint8)


def video(count: int = 14, step: tuple[int, int] = STEP, camera: tuple[int, int] = (0, 0)) -> Video:
    """A textured square goes over a textured ground, and the camera over both."""
    ground, thing = texture(2 * HEIGHT, 2 * WIDTH, 0), texture(THING, THING, 1)
    frames = []
    for i in range(count):
        x, y = i * camera[0], i * camera[1]
        frame = np.zeros((3 * HEIGHT, 3 * WIDTH, 3), np.uint8)  # with room around what is seen
        seen = np.s_[HEIGHT : 2 * HEIGHT, WIDTH : 2 * WIDTH]
        frame[seen] = ground[y : y + HEIGHT, x : x + WIDTH]
        corner = place(i, step, camera).astype(int) - THING // 2
        left, top = corner[0] + WIDTH, corner[1] + HEIGHT
        frame[top : top + THING, left : left + THING] = thing
        frames.append(frame[seen])
    return frames


def place(frame: int, step: tuple[int, int] = STEP, camera: tuple[int, int] = (0, 0)) -> NDArray[np.float64]:
    """Of the thing's centre, in x and y."""
    start = np.array([62.0, 48.0])
    return start + frame * (np.array(step) - camera)
