"""One file for each AWS type. A file here is found by itself; it imports `base` and never a neighbour."""
