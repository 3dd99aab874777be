"""Read specs from a directory or a Git repository into a snapshot."""
