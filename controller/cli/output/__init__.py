"""Render results as text, JSON or Markdown. Nothing here calls AWS or reads the store."""
