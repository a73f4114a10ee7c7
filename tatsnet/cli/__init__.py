"""The command `tatsnet`. Importing it loads neither PyTorch nor an image library: `tatsnet --help` answers at once."""

from tatsnet.cli.main import main

__all__ = ["main"]
