"""What each command does: ``run`` takes what was typed and returns the exit code."""
