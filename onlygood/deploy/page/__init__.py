"""A static folder that judges images in the browser."""
