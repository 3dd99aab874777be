"""A CSV in; checked, split, digested training channels and feature ranges out."""
