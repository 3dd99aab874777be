"""Moorage: keeps machine-learning models on ECS moored to what Git declares."""

__version__ = "0.1.0"
