"""Frames of cameras, streams and recordings, each judged as it comes."""
