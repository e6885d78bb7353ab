"""Which function converts which operator.

A `Family` is what one file under ``ops/`` declares; a `Registry` is the list of families that a conversion uses.
"""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Family", "Handler", "Operator", "Registry", "short_domain"]

Handler = Callable[..., Any]
"""Called with the `Node` and its inputs, tensors of TensorFlow, None for one left out; returns its outputs."""


def short_domain(domain: str) -> str:
    """ONNX's own domain has two names; this is the short one."""
    return "" if domain == "ai.onnx" else domain


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator and what converts it.

    Attributes:
        domain: the operator's domain, "" for ONNX's own.
        op_type: its name.
        versions: the versions of it that the function serves: the opsets in which ONNX's changelog renewed it.
        handler: the function.
        is_foldable: whether it may run at conversion when its inputs are known: not so what draws random numbers.
    """

    domain: str
    op_type: str
    versions: tuple[int, ...]
    handler: Handler
    is_foldable: bool


@dataclass(slots=True)
class Family:
    """Operators that belong together, such as those that pool.

    Attributes:
        title: what they have in common; a heading in the table of coverage.
        operators: what was registered.
    """

    title: str
    operators: list[Operator] = field(default_factory=list)

    def register(
        self, op_type: str, *versions: int, domain: str = "", is_foldable: bool = True
    ) -> Callable[[Handler], Handler]:
        """Decorates the function that converts an operator; several decorators may stand above one function.

        Args:
            op_type: the operator's name, such as ``Conv``.
            versions: the opsets in which ONNX renewed it, as its changelog lists them, that the function serves.
            domain: of the operator.
            is_foldable: False for what draws random numbers or has an effect.
        """

        def registered(handler: Handler) -> Handler:
            operator = Operator(short_domain(domain), op_type, tuple(sorted(versions or (1,))), handler, is_foldable)
            self.operators.append(operator)
            return handler

        return registered


class Registry:
    """The operators that a conversion knows. A later family wins over an earlier one.

    Args:
        families: in order.
        as_defined: names of ONNX's own operators that are left to the definition, by other operators, that the
            installed onnx has of them.
    """

    def __init__(self, families: Iterable[Family], *, as_defined: Collection[str] = ()) -> None:
        """See the class."""
        self.families = tuple(families)
        self._operators = {
            (operator.domain, operator.op_type, version): operator
            for family in self.families
            for operator in family.operators
            for version in operator.versions
            if operator.domain or operator.op_type not in as_defined
        }

    def __iter__(self) -> Iterator[Operator]:
        """Every operator that can be found."""
        return iter(dict.fromkeys(self._operators.values()))

    def find(self, domain: str, op_type: str, version: int) -> Operator | None:
        """The operator of exactly that version."""
        return self._operators.get((short_domain(domain), op_type, version))

    def versions(self, domain: str, op_type: str) -> list[int]:
        """The versions of an operator that are served, ascending."""
        return sorted(v for d, o, v in self._operators if (d, o) == (short_domain(domain), op_type))

    def nearest(self, op_type: str) -> str:
        """The operator, of whatever domain, whose name is nearest, and its domain; empty where none is near."""
        domains = {op: domain or "ai.onnx" for domain, op, _ in sorted(self._operators, reverse=True)}
        found = difflib.get_close_matches(op_type, domains, n=1, cutoff=0.7)
        return f"{found[0]} of {domains[found[0]]}" if found else ""

    def op_types(self, domain: str) -> list[str]:
        """The names of the operators of a domain that are served."""
        return sorted({o for d, o, _ in self._operators if d == short_domain(domain)})
