"""Artifact bytes in; a verified model bundle and image layers out."""
