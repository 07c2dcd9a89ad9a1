"""A face-milled metal plate under a lamp: the good images of the demo.

The plate is a height field in pixels (milling arcs, brushed grain, holes with chamfers, a ring groove), lit
by one directional lamp and a diffuse dome with the Lambert and Blinn-Phong terms. A defect changes height,
reflectance or what lies on top *before* shading, so that it catches the light as the plate does.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Field: TypeAlias = NDArray[np.float32]  # one number per pixel, ``(SIZE, SIZE)``

SIZE = 256
# Center (across, down) and radius, in pixels from the plate's center.
BORE = (0.0, 0.0, 30.0)
HOLES = (BORE, (-84.0, -84.0, 10.0), (84.0, -84.0, 10.0), (-84.0, 84.0, 10.0), (84.0, 84.0, 10.0))
CHAMFER = 4.0
GROOVE_RADIUS = 54.0
_GROOVE_WIDTH = 2.6
_CUTTER = 330.0  # radius of the milling arcs
_FULL_SCALE = 255.0

_rows, _columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
_centered_x: Field = _columns - (SIZE - 1) / 2
_centered_y: Field = _rows - (SIZE - 1) / 2
_frequency_y = np.fft.fftfreq(SIZE).astype(np.float32)[:, None]
_frequency_x = np.fft.rfftfreq(SIZE).astype(np.float32)[None, :]


@dataclass(frozen=True)
class Light:
    """Lamp and camera settings of one shot."""

    direction: NDArray[np.float32]  # unit vector to the lamp: right, down, toward the camera
    exposure: float
    field: Field  # relative illumination: slope across the plate and vignette


@dataclass(frozen=True)
class Plate:
    """One plate in front of the camera, before it is lit. Fields are ``(SIZE, SIZE)``."""

    x: Field  # plate coordinates of each pixel, origin at the bore
    y: Field
    height: Field  # pixels
    albedo: Field  # 1 is bare metal
    gloss: Field  # 1 is bare metal, 0 is matte
    cover: Field  # opacity of what lies on the plate, 0 to 1
    cover_tone: Field  # reflectance of what lies on it
    light: Light


def spectrum_noise(rng: np.random.Generator, envelope: Field) -> Field:
    """White noise shaped by ``envelope`` ``(SIZE, SIZE // 2 + 1)`` by frequency; mean 0, deviation 1."""
    white = rng.standard_normal((SIZE, SIZE), dtype=np.float32)
    field: Field = np.fft.irfft2(np.fft.rfft2(white) * envelope, s=(SIZE, SIZE)).astype(np.float32)
    field -= field.mean()
    field /= field.std()
    return field


def smooth_noise(rng: np.random.Generator, scale: float) -> Field:
    """Cloudy noise whose features are about ``scale`` pixels wide; mean 0, deviation 1."""
    squared = _frequency_x**2 + _frequency_y**2
    return spectrum_noise(rng, np.exp(-2.0 * (np.pi * scale / 2) ** 2 * squared).astype(np.float32))


def _grain(rng: np.random.Generator, angle: float) -> Field:
    """Streaks along the brushing direction ``angle`` (radians): fine ones, and a few broad ones."""
    along = _frequency_x * np.cos(angle) + _frequency_y * np.sin(angle)
    across = _frequency_y * np.cos(angle) - _frequency_x * np.sin(angle)
    fine = np.exp(-((along * 70) ** 2) - (across * 2.0) ** 2)
    broad = 1.6 * np.exp(-((along * 160) ** 2) - (across * 9.0) ** 2)
    speckle = 0.05 * np.exp(-((along * 8) ** 2) - (across * 2.0) ** 2)
    return spectrum_noise(rng, (fine + broad + speckle).astype(np.float32))


def _milling(rng: np.random.Generator, x: Field, y: Field) -> Field:
    """Scallops that a face mill leaves: arcs one feed apart, each tooth cutting a little differently."""
    center = rng.uniform(-40, 40)
    sagitta = np.sqrt(_CUTTER**2 - (y - center) ** 2)
    height = np.zeros_like(x)
    front, back = (1.0, 1.0), (-1.0, rng.uniform(0.15, 0.4))  # of the cutter: direction and depth
    for sign, strength in (front, back):
        feed = rng.uniform(6.6, 7.4)
        turns = (x + sign * (sagitta - _CUTTER)) / feed + rng.uniform(0, 1)
        first = int(np.floor(turns.min()))
        depth = rng.uniform(0.6, 1.4, int(turns.max()) - first + 2).astype(np.float32)
        whole = np.floor(turns)
        part = turns - whole
        height += (
            strength * depth[(whole - first).astype(np.intp)] * 4 * part * (part - 1) * (0.6 + 0.4 * part)
        )
    return height


def _light(rng: np.random.Generator) -> Light:
    azimuth = np.deg2rad(rng.uniform(200, 250))  # a lamp at the upper left, mounted by hand
    elevation = np.deg2rad(rng.uniform(46, 58))
    direction = np.array(
        [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)],
        np.float32,
    )
    slope = rng.uniform(0, 2 * np.pi)
    fall = rng.uniform(0.0, 0.16) / (SIZE / 2)
    radius = (_centered_x**2 + _centered_y**2) / (SIZE / 2) ** 2
    field = (
        1
        + fall * (np.cos(slope) * _centered_x + np.sin(slope) * _centered_y)
        - rng.uniform(0.02, 0.12) * radius
    )
    return Light(direction, rng.uniform(0.82, 1.14), field.astype(np.float32))


def _carve_holes(x: Field, y: Field) -> tuple[Field, Field]:
    """Height of chamfers and groove (pixels), and how open the plate is at each pixel (0 metal, 1 hole)."""
    height = np.zeros_like(x)
    opening = np.zeros_like(x)
    for across, down, radius in HOLES:
        distance = np.hypot(x - across, y - down)
        height -= np.clip(radius + CHAMFER - distance, 0, CHAMFER) * 0.42
        opening = np.maximum(opening, np.clip(radius + 0.5 - distance, 0, 1))
    from_groove = (np.hypot(x, y) - GROOVE_RADIUS) / _GROOVE_WIDTH
    height -= 1.0 * np.exp(-(from_groove**4))
    return height.astype(np.float32), opening.astype(np.float32)


def _hole_tone(x: Field, y: Field, light: Light) -> Field:
    """Reflectance seen in the holes: dark, with the far wall catching some light."""
    tone = np.full_like(x, 0.15)
    for across, down, radius in HOLES:
        dx, dy = x - across, y - down
        distance = np.hypot(dx, dy) + 1e-3
        facing = np.clip(-(dx * light.direction[0] + dy * light.direction[1]) / distance, 0, None)
        wall = np.exp(-np.abs(radius - distance) / (0.14 * radius + 1.0))
        tone += np.where(distance < radius + 1, 0.8 * facing**1.5 * wall, 0)
    return tone.astype(np.float32)


def make_plate(rng: np.random.Generator) -> Plate:
    """A good plate: new grain and tool marks, laid by hand under a lamp that nobody measured."""
    angle = np.deg2rad(rng.uniform(-3.0, 3.0))
    shift_x, shift_y = rng.uniform(-5, 5, 2)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    moved_x, moved_y = _centered_x - np.float32(shift_x), _centered_y - np.float32(shift_y)
    x, y = cos * moved_x + sin * moved_y, cos * moved_y - sin * moved_x
    light = _light(rng)
    carved, opening = _carve_holes(x, y)
    roughness = rng.uniform(0.85, 1.15)
    texture = 0.2 * _milling(rng, x, y) + 0.055 * _grain(rng, angle + np.deg2rad(rng.uniform(-1.5, 1.5)))
    albedo = 1 + 0.035 * smooth_noise(rng, 30)
    return Plate(
        x,
        y,
        height=(carved + roughness * texture).astype(np.float32),
        albedo=albedo.astype(np.float32),
        gloss=np.ones_like(x),
        cover=opening,
        cover_tone=_hole_tone(x, y, light),
        light=light,
    )


def _blur(image: Field, tap: float) -> Field:
    """Optical blur with the kernel ``(tap, 1 - 2 * tap, tap)`` along both axes."""
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if axis == a else (0, 0) for a in (0, 1)], mode="edge")
        low, high = (padded[:-2], padded[2:]) if axis == 0 else (padded[:, :-2], padded[:, 2:])
        image = (1 - 2 * tap) * image + tap * (low + high)
    return image


def shade(plate: Plate) -> Field:
    """The picture before sensor noise, in gray levels, not yet clipped to 0 … 255."""
    slope_y, slope_x = np.gradient(plate.height)
    length = np.sqrt(1 + slope_x**2 + slope_y**2)
    lamp = plate.light.direction
    half = lamp + np.array([0, 0, 1], np.float32)
    half /= np.linalg.norm(half)
    lambert = np.clip((lamp[2] - slope_x * lamp[0] - slope_y * lamp[1]) / length, 0, None)
    mirror = np.clip((half[2] - slope_x * half[0] - slope_y * half[1]) / length, 0, None)
    metal = plate.albedo * (0.16 + 0.26 * lambert + 0.36 * plate.gloss * mirror**14)
    below = 0.5 * plate.cover_tone
    seen = (1 - plate.cover) * metal + plate.cover * below
    return _blur(plate.light.exposure * plate.light.field * seen, 0.12) * _FULL_SCALE


def expose(rng: np.random.Generator, picture: Field) -> NDArray[np.uint8]:
    """What the sensor makes of a shaded picture: shot and read noise, then 8 bits."""
    deviation = np.sqrt(0.9 + 0.016 * np.clip(picture, 0, None)) * rng.uniform(0.9, 1.3)
    noisy = picture + deviation * rng.standard_normal(picture.shape, dtype=np.float32)
    pixels: NDArray[np.uint8] = np.clip(np.rint(noisy), 0, _FULL_SCALE).astype(np.uint8)
    return pixels
