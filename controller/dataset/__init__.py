"""A CSV in; checked, split, digested training channels out.

Pure Python over bytes: no AWS, no numpy, no clock, no randomness. `load` and `parse` are the doors.
"""

from controller.dataset.load import Channel, Dataset, load_dataset, parse_dataset
from controller.dataset.split import SplitShares

__all__ = ["Channel", "Dataset", "SplitShares", "load_dataset", "parse_dataset"]
