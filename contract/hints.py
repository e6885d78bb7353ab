"""What to say to somebody who asked for a name that is not there."""

import difflib
from collections.abc import Collection

__all__ = ["hint"]


def hint(name: str, known: Collection[str]) -> str:
    """The nearest name, or all of them where none is near."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are: {', '.join(known)}" if known else "there is none"
