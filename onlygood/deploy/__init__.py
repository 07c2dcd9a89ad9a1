"""Detector to verdicts: export, the torch-free runtime and the command line."""
