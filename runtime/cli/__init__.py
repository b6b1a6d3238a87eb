"""The command line."""

from weft.runtime.cli.app import main

__all__ = ["main"]
