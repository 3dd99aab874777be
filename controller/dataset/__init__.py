"""From a CSV to checked, split, digested training channels.

Pure Python over bytes: no AWS, no numpy, no clock, no randomness. `load_dataset` and `parse_dataset` are the entry
points.
"""

from controller.dataset.load import Channel, Dataset, load_dataset, parse_dataset
from controller.dataset.split import SplitShares

__all__ = ["Channel", "Dataset", "SplitShares", "load_dataset", "parse_dataset"]
