"""The server in the image: one tree model behind HTTP. Imports nothing of the controller."""
