"""Pretext tasks: one file each; ``base`` is the contract."""
