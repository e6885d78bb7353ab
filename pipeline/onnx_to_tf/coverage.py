"""Which operators of ONNX are converted, and in which versions: held against ONNX's own changelog."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import onnx
from onnx.version import version as onnx_version

from pipeline.onnx_to_tf.ops import registry
from pipeline.onnx_to_tf.registry import Registry

__all__ = ["Coverage", "Row", "coverage", "defined_operators"]

_DOMAINS = {"": "ai.onnx", "ai.onnx.ml": "ai.onnx.ml", "ai.onnx.preview.training": "ai.onnx.preview.training"}
"""The domains whose changelog onnx has, and what they are called."""


@dataclass(frozen=True, slots=True)
class Row:
    """One operator.

    Attributes:
        domain: its domain, ONNX's own by its long name.
        op_type: its name.
        family: the title of the family that converts it; empty where none does.
        converted: the versions that a function converts.
        expanded: the versions that ONNX itself defines by other operators, which are converted in their place.
        missing: the versions that are left; those that ONNX has withdrawn do not count.
    """

    domain: str
    op_type: str
    family: str
    converted: tuple[int, ...]
    expanded: tuple[int, ...]
    missing: tuple[int, ...]

    @property
    def is_known(self) -> bool:
        """Whether any version is served."""
        return bool(self.converted or self.expanded)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The whole table, by domain and name.

    Attributes:
        onnx_version: of the package whose changelog was read.
        rows: one for each operator of ONNX, and one for each of another domain that is converted.
    """

    onnx_version: str
    rows: tuple[Row, ...]

    def counts(self) -> dict[str, tuple[int, int]]:
        """By domain, how many operators are served in any version, and how many there are."""
        domains = dict.fromkeys(row.domain for row in self.rows)
        of = {domain: [row for row in self.rows if row.domain == domain] for domain in domains}
        return {domain: (sum(row.is_known for row in rows), len(rows)) for domain, rows in of.items()}

    def to_dict(self) -> dict[str, Any]:
        """A JSON object."""
        return {"onnx_version": self.onnx_version, "operators": [asdict(row) for row in self.rows]}

    def markdown(self) -> str:
        """Tables for the documentation, one a domain."""
        blocks = []
        for domain, (known, total) in self.counts().items():
            blocks.append(f"## {domain}\n\n{known} of {total} operators.\n")
            lines = ["| operator | versions | by ONNX's definition | missing |", "| --- | --- | --- | --- |"]
            lines += [
                f"| {row.op_type} | {_listed(row.converted)} | {_listed(row.expanded)} | {_listed(row.missing)} |"
                for row in self.rows
                if row.domain == domain
            ]
            blocks.append("\n".join([*lines, ""]))
        return "\n".join(blocks)


def coverage(operators: Registry | None = None) -> Coverage:
    """Compares a registry with ONNX's changelog.

    Args:
        operators: what is converted; default: all that are ours.
    """
    operators = operators or registry()
    return Coverage(onnx_version, (*_of_onnx(operators), *_of_others(operators)))


def defined_operators() -> list[str]:
    """ONNX's own operators that onnx defines by others, in any version."""
    schemas = onnx.defs.get_all_schemas_with_history()
    return sorted({schema.name for schema in schemas if not schema.domain and _has_body(schema)})


def _of_onnx(operators: Registry) -> Iterator[Row]:
    schemas: dict[tuple[str, str], dict[int, Any]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain in _DOMAINS:
            schemas.setdefault((schema.domain, schema.name), {})[schema.since_version] = schema
    titles = _titles(operators)
    for (domain, op_type), versions in sorted(schemas.items()):
        served = operators.versions(domain, op_type)
        left = [version for version in sorted(versions) if version not in served]
        expanded = [version for version in left if _has_body(versions[version])]
        missing = [v for v in left if v not in expanded and not versions[v].deprecated]
        title = titles.get((domain, op_type), "") if served else ""
        yield Row(_DOMAINS[domain], op_type, title, tuple(served), tuple(expanded), tuple(missing))


def _of_others(operators: Registry) -> Iterator[Row]:
    titles = _titles(operators)
    for domain, op_type in sorted(key for key in titles if key[0] not in _DOMAINS):
        yield Row(domain, op_type, titles[domain, op_type], tuple(operators.versions(domain, op_type)), (), ())


def _titles(operators: Registry) -> dict[tuple[str, str], str]:
    return {(one.domain, one.op_type): family.title for family in operators.families for one in family.operators}


def _has_body(schema: Any) -> bool:
    return bool(schema.has_function or schema.has_context_dependent_function)


def _listed(versions: tuple[int, ...]) -> str:
    return ", ".join(map(str, versions))
