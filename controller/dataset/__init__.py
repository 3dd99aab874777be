"""A CSV in; checked, split, digested training channels and feature ranges out.

Pure Python over bytes: no AWS, no numpy, no clock, no randomness. `load` and `parse` are the doors.
"""

from controller.dataset.load import Channel, Dataset, load, parse
from controller.dataset.profile import Profile, profiles
from controller.dataset.split import Split

__all__ = ["Channel", "Dataset", "Profile", "Split", "load", "parse", "profiles"]
