"""docs/serving-compatibility.md names tests that exist, and each deviation."""

import re
from pathlib import Path

from serving.flags import Flags
from tests.serving.golden.deviations import DEVIATIONS

ROOT = Path(__file__).parents[2]

TEXT = (ROOT / "docs/serving-compatibility.md").read_text()


def test_every_test_file_that_is_named_exists():
    named = set(re.findall(r"tests/[\w/]+\.py", TEXT))
    assert named
    assert {name for name in named if not (ROOT / name).is_file()} == set()


def test_every_test_of_the_checklist_is_named():
    written = {f"tests/serving/{path.name}" for path in Path(__file__).parent.glob("test_checklist_*.py")}
    assert {name for name in written if name not in TEXT} == set()


def test_the_deviations_are_those_of_the_tests():
    section = TEXT.partition("## Deviations")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", section, re.MULTILINE) == list(DEVIATIONS)


def test_every_flag_is_named():
    section = TEXT.partition("## Command line")[2].partition("\n## ")[0]
    parallelisms = {f"tensorflow_{kind}_parallelism" for kind in ("session", "intra_op", "inter_op")}
    named = {*re.findall(r"`(\w+)`", section), *parallelisms, "version"}
    assert set(Flags.__dataclass_fields__) - named == set()
