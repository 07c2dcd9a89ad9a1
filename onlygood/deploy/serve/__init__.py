"""Detectors behind a port: HTTP in, the rows of `score` out."""
