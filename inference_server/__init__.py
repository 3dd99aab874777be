"""The HTTP server in the image: serves one tree model. Imports nothing from the controller."""
