"""Sizes of axes, as they are typed."""

from contract.errors import UsageError

__all__ = ["fixed_axes", "tried_sizes"]


def fixed_axes(text: str) -> dict[str, int]:
    """Reads ``batch=1,image:2=224``.

    Raises:
        UsageError: it is of another form.
    """
    axes: dict[str, int] = {}
    for part in text.split(","):
        name, _, size = part.rpartition("=")
        if not (name.strip() and size.strip().isdecimal() and int(size)):
            raise UsageError(f"--static {part!r}: write AXIS=SIZE or INPUT:POSITION=SIZE, such as batch=1 or image:0=1")
        axes[name.strip()] = int(size)
    return axes


def tried_sizes(text: str) -> tuple[str, list[int]]:
    """Reads ``height=224,256``.

    Raises:
        UsageError: it is of another form.
    """
    name, _, sizes = text.rpartition("=")
    try:
        return name, [int(size) for size in sizes.split(",")]
    except ValueError as err:
        raise UsageError(f"--axis {text!r}: write NAME=SIZE,SIZE, such as height=224,256") from err
