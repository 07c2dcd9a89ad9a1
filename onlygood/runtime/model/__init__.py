"""The model file, and the detector that runs it."""
