"""Encoder to calibrated detector: regions, heads, fitting and evaluation."""
