"""The cost of a spec: a dated table of prices, and the arithmetic over it. Pure: it never calls AWS."""
