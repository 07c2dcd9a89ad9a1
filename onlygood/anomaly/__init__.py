"""From an encoder to a calibrated detector: regions, heads, fitting and evaluation."""
