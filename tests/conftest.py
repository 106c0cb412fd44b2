"""Settings for all tests."""

import os

# Before torch is imported: its threads wait for each other by spinning, which on a busy machine costs minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("cranpm", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("cranpm")
