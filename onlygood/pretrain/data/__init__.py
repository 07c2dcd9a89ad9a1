"""Folders of images and labels to arrays."""
