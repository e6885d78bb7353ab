"""What is made of samples: tables, ratios, aims, and the page that has them."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from benchmarks.serving.loads import BATCH, LOADS, ONE, SIXTEEN, Load
from benchmarks.serving.programs import FLOOR, KINDS, OURS, PEERS_OF, ROOT, TF_SERVING

DOCUMENT = ROOT / "docs" / "benchmarks.md"

BEGIN = "<!-- figures of benchmarks/serving -->"

END = "<!-- end of the figures -->"


def column(samples: Mapping[str, Any], kind: str, load: Load, server: str, key: str) -> list[float]:
    """A number of each round."""
    wanted = (kind, load.name, server)
    return [row[key] for row in samples["loads"] if (row["kind"], row["load"], row["server"]) == wanted]


def ratio(samples: Mapping[str, Any], kind: str, load: Load, others: Sequence[str]) -> tuple[float, str] | None:
    """Our requests/s to those of the fastest of others, the median of the rounds, and its name; None without others."""
    rates = {name: column(samples, kind, load, name, "requests_s") for name in others}
    rates = {name: values for name, values in rates.items() if values}
    if not rates:
        return None
    best = max(rates, key=lambda name: statistics.median(rates[name]))
    ours = column(samples, kind, load, OURS, "requests_s")
    return statistics.median(a / b for a, b in zip(ours, rates[best], strict=True)), best


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]


def tables(samples: Mapping[str, Any]) -> list[str]:
    """The medians: of loads, and of starts and memory."""
    header = ["", "load", "server", "requests/s", "p50 ms", "p99 ms", "CPU µs a request"]
    rows: list[list[str]] = []
    for kind, load, server in product(KINDS, LOADS, samples["ready"]):
        rates = column(samples, kind, load, server, "requests_s")
        if not rates:
            continue
        keys = ("p50_ms", "p99_ms", "cpu_us")
        p50, p99, cpu = (statistics.median(column(samples, kind, load, server, key)) for key in keys)
        spread = f" ({min(rates):,.0f} to {max(rates):,.0f})" if len(rates) > 1 else ""
        rate = f"{statistics.median(rates):,.0f}{spread}"
        rows.append([kind, load.name, server, rate, f"{p50:.2f}", f"{p99:.2f}", f"{cpu:,.0f}"])
    lines = table(header, rows)
    header = ["server", "ready s", "resident MB", "of it anonymous MB", "PSS MB"]
    rows = []
    for server, ready in samples["ready"].items():
        after = samples["memory"][server]["after"]
        sizes = (megabytes([one[key] for one in after]) for key in ("rss", "anonymous", "pss"))
        rows.append([server, f"{statistics.median(ready):.2f}", *sizes])
    return [*lines, "", *table(header, rows)]


def megabytes(sizes: Sequence[int | None]) -> str:
    """The median."""
    known = [size for size in sizes if size is not None]
    return f"{statistics.median(known) / 1e6:,.0f}" if known else "unknown"


def ratios(samples: Mapping[str, Any]) -> list[str]:
    """Our requests/s to those of others."""
    header = ("", "load", "× the best Python peer", "× the floor", "× TensorFlow Serving")
    rows = []
    for kind, load in product(KINDS, LOADS):
        row = [kind, load.name]
        for others in (PEERS_OF[kind], (FLOOR,), (TF_SERVING,)):
            found = ratio(samples, kind, load, others)
            is_peer = found is not None and len(others) > 1
            row.append("–" if found is None else f"{found[0]:.2f}{f' ({found[1]})' if is_peer else ''}")
        rows.append(row)
    return table(header, rows)


def aims(samples: Mapping[str, Any]) -> list[str]:
    """What we want to reach, what was measured, and whether that is enough."""
    lines = []

    def add(what: str, measured: float, text: str, *, least: float = -math.inf, most: float = math.inf) -> None:
        lines.append(f"- {what}: {text}, {'met' if least <= measured < most else '**not met**'}")

    for load in (ONE, SIXTEEN, BATCH):
        found = ratio(samples, "REST", load, PEERS_OF["REST"])
        if found:
            add(f"REST, {load.name}: at least 3 × the best Python peer", found[0], f"{found[0]:.2f} ×", least=3)
    batches = statistics.median(column(samples, "REST", BATCH, OURS, "requests_s"))
    add("at least 190 batches of [5000, 2] a second in nested JSON", batches, f"{batches:.0f}", least=190)
    ready = statistics.median(samples["ready"][OURS])
    add("ready in less than 0.9 s", ready, f"{ready:.2f} s", most=0.9)
    resident = statistics.median(one["rss"] for one in samples["memory"][OURS]["after"]) / 1e6
    add("resident memory below 450 MB", resident, f"{resident:.0f} MB", most=450)
    return lines


def report(samples: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """All figures in Markdown, with where and with what they were measured."""
    where = about["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    measured = (
        f"Measured on {where['cores']} cores of {where['cpu'] or 'an unknown CPU'}, {where['platform']}, with "
        f"{versions}; rounds: {about['rounds']}, seconds per measurement: {about['seconds']}, load average before: "
        f"{where['load before']}. A figure is the median of the rounds; a range is from the least to the greatest."
    )
    lines = [
        measured,
        "",
        *tables(samples),
        "",
        "Requests a second of showdown-model-server, as a multiple of others' in the same round:",
        "",
        *ratios(samples),
        "",
    ]
    if TF_SERVING not in samples["ready"]:
        lines += ["TensorFlow Serving was not there: no `tensorflow_model_server` on PATH.", ""]
    return "\n".join([*lines, "Aims:", "", *aims(samples)])


def put_between_markers(page: str, text: str) -> str:
    """The page with its figures replaced.

    Raises:
        ValueError: it does not have the two markers, once each and in their order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in before + after:
        raise ValueError(f"the page needs {BEGIN} and behind it {END}, once each")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
