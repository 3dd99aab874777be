"""The content of the embedded ECR: blobs on disk, manifests, the seeded base image. Its API is in `strict/ecr.py`."""
