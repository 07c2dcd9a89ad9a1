"""How good a detector is, in numbers and pictures."""
