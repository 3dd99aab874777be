"""The embedded AWS: a program of its own behind one local endpoint. It shares nothing with the controller it tests but `errors`."""
