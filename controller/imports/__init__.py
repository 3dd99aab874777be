"""Specs for what exists already: live objects are read, never written, and said again in the words of a spec."""
