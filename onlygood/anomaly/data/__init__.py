"""Layouts, lists and masks: which images of a data set are good."""
