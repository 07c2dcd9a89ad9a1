"""Many images to rows of verdicts."""
