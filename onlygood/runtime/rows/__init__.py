"""From many images to rows of verdicts."""
