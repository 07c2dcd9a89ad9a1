"""Videos to tracked patches."""
