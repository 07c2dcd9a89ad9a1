"""Layouts, lists and masks: which images are good."""
