"""The content of the embedded ECR: blobs on disk, manifests, the seeded base image. The API is in `strict/ecr.py`."""
