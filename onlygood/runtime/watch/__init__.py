"""A folder that is watched: which files are ready, what is known of them, and who is told."""
