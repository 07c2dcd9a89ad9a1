"""How scores of several branches become one: see `Footing`. Without torch, for recipes."""

from typing import Literal

Join = Literal["mean", "max", "fisher"]
