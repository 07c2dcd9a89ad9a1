"""Largest and smallest values that are accepted on the command line, in recipes and in model files."""

SMALLEST_RATE = 1e-9  # of false alarms; it already needs a billion calibration images
LARGEST_SEED = 2**32 - 1
MOST_THREADS = 1024
MOST_STEPS = 10**9
MOST_MINUTES = 366 * 24 * 60.0
LARGEST_IMAGE = 2**31 - 1  # pixels
MOST_MEMORY = 10**6  # MB
