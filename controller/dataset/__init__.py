"""A CSV in; checked, split, digested training channels out.

Pure Python over bytes: no AWS, no numpy, no clock, no randomness. `load` and `parse` are the doors.
"""

from controller.dataset.load import Channel, Dataset, load, parse
from controller.dataset.split import Split

__all__ = ["Channel", "Dataset", "Split", "load", "parse"]
