"""Points that go from one gray frame ``(H, W)`` to the next, and what their motion says.

Points are float32 ``(n, 2)``, x and y in pixels. Nothing is random: OpenCV seeds its RANSAC alike each time.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlygood.pretrain.video.frames import opencv

Points = NDArray[np.float32]

MOVING = 0.5  # px a frame beyond the camera's motion, as in Wang & Gupta (2015)
FEWEST = 6  # points from which a motion can be told

_CORNERS = 1000  # at most
_AROUND = (15, 15)  # px, what is compared around a point at each level of the pyramid
_RETURN = 1.0  # px that a point may be off when it is followed forth and back


def corners(gray: Any) -> Points:
    """Points of the image that can be followed."""
    distance = max(3, min(gray.shape) // 64)
    found = opencv().goodFeaturesToTrack(gray, _CORNERS, 0.005, distance)
    return np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2)


def flow(before: Any, after: Any, points: Points) -> tuple[Points, NDArray[np.bool_]]:
    """Where the points ``(n, 2)`` are in the next frame, and which of them were followed reliably.

    A point is reliable if, followed back from there, it arrives where it started.
    """
    if not len(points):
        return points, np.zeros(0, bool)
    follow = opencv().calcOpticalFlowPyrLK
    there, found, _ = follow(before, after, points, None, winSize=_AROUND)
    back, returned, _ = follow(after, before, there, None, winSize=_AROUND)
    near = np.linalg.norm(back - points, axis=1) <= _RETURN
    return there, near & found.ravel().astype(bool) & returned.ravel().astype(bool)


def camera_motion(before: Points, after: Points) -> NDArray[np.float64] | None:
    """The similarity ``(2, 3)`` that most points obey; None where too few points are left to tell."""
    if len(before) < 2 * FEWEST:
        return None
    cv2 = opencv()
    found, _ = cv2.estimateAffinePartial2D(before, after, method=cv2.RANSAC, ransacReprojThreshold=MOVING)
    return found  # type: ignore[no-any-return]


def camera_homography(before: Points, after: Points) -> NDArray[np.float64] | None:
    """The homography ``(3, 3)`` that most points obey; None where too few points are left to tell.

    So a plane moves, or all that a turning camera shows.
    """
    if len(before) < 4 * FEWEST:
        return None
    cv2 = opencv()
    found, _ = cv2.findHomography(before, after, cv2.RANSAC, 2 * MOVING)
    return found  # type: ignore[no-any-return]


def transform(matrix: NDArray[np.float64], points: NDArray[Any]) -> NDArray[Any]:
    """Points ``(n, 2)`` moved by a similarity ``(2, 3)``."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def growth(before: Points, after: Points) -> float:
    """By which factor the distances between points have grown, at the median; of 100 points at most."""
    step = -(-len(before) // 100)
    first, second = np.triu_indices(len(before[::step]), 1)
    was, now = (np.linalg.norm(p[::step][first] - p[::step][second], axis=1) for p in (before, after))
    return float(np.median(now[was > 0] / was[was > 0]))
