"""The embedded AWS: a program of its own behind one local endpoint. It imports nothing of the controller."""
