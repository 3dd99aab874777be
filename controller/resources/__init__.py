"""One file for each AWS type. A file here is discovered automatically; it imports `base` and never a neighbour."""
