"""One picture of a run: how it learned, and what it says of the images."""
