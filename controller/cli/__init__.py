"""The commands: parse, compose, print, exit code. No logic of the domain lives here."""

from __future__ import annotations

from cyclopts import App

from controller import __version__

app = App(name="moorage", version=__version__, help="Keeps machine-learning models on ECS moored to what Git declares.")


def main() -> None:
    """Run the `moorage` command."""
    app()
