"""onlygood: learn what good looks like from a folder of good images; flag everything else."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Detector", "OnlyGood", "__version__"]

if TYPE_CHECKING:
    from onlygood.deploy.estimator import OnlyGood
    from onlygood.runtime.model.detector import Detector


def __getattr__(name: str) -> Any:
    """Import the runtime only when it is asked for, so that ``import onlygood`` costs nothing."""
    if name == "Detector":
        from onlygood.runtime.model.detector import Detector  # noqa: PLC0415

        return Detector
    if name == "OnlyGood":  # with torch and scikit-learn, of the extra `train`
        from onlygood.deploy.estimator import OnlyGood  # noqa: PLC0415

        return OnlyGood
    raise AttributeError(f"module 'onlygood' has no attribute {name!r}")
