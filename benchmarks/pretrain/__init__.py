"""Measurements on data that you have; not installed."""
