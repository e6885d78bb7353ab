"""`showdown completion`."""

from argparse import Namespace

from cli.main import parser

__all__ = ["completion"]


def completion(options: Namespace) -> None:
    """Prints the completion script of a shell."""
    import shtab

    print(shtab.complete(parser(), shell=options.shell))
