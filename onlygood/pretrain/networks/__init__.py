"""Encoders, and the small networks that a pretext task puts beside them."""
