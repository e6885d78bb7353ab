"""The documentation builds without a warning, shows what the parser has, and quotes errors that exist."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.cli_reference import PAGE, reference

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The built pages."""
    target: Path = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def test_every_page_is_built_without_a_warning(site):
    # `strict` and `validation` in mkdocs.yml make a broken link and a page without an entry in nav a warning.
    pages = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert pages <= {path.relative_to(site) for path in site.rglob("*.html")}


def test_no_page_fetches_anything_from_another_host(site):
    fetches = re.compile(
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^>]*>"
        r"|<link\b(?![^>]*rel=[\"']?canonical)[^>]*\bhref=[\"']?(?:https?:)?//[^>]*>"
        r"|(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\s]*"
    )
    found = {
        path.relative_to(site).as_posix(): fetches.findall(path.read_text(encoding="utf-8"))
        for path in site.rglob("*")
        if path.suffix in {".html", ".css"}
    }
    assert len(found) > 5
    assert {name: urls for name, urls in found.items() if urls} == {}


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("index.md", "[a page](nowhere.md)"),
        ("index.md", "[a heading](formats.md#nowhere)"),
        ("index.md", "[outside](../README.md)"),
        ("orphan.md", "# Not in nav"),
    ],
)
def test_what_is_wrong_with_a_page_fails_the_build(tmp_path, page, text):
    tree = {path.relative_to(ROOT): path.read_bytes() for path in (ROOT / "mkdocs.yml", *DOCS.rglob("*.md"))}
    tree[Path("docs", page)] = tree.get(Path("docs", page), b"") + f"\n{text}\n".encode()
    for name, content in tree.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-m", "mkdocs", "build"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Aborted with 1 warnings in strict mode" in done.stdout


@pytest.mark.parametrize("columns", ["20", "300"])
def test_the_reference_of_the_command_line_is_that_of_the_parser(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert PAGE.read_text(encoding="utf-8") == reference(), "docs/cli.md is out of date: make docs"


@pytest.mark.slow  # imports TensorFlow
def test_the_table_of_operators_is_that_of_the_registry():
    from scripts.operators_reference import PAGE, reference

    assert PAGE.read_text(encoding="utf-8") == reference(), "docs/operators.md is out of date: make docs"


@pytest.mark.slow  # imports onnx
def test_the_page_of_operator_tests_is_that_of_the_exceptions():
    from scripts.conformance_reference import PAGE, reference

    assert PAGE.read_text(encoding="utf-8") == reference(), "docs/conformance.md is out of date: make docs"


QUOTED = re.compile(r"`([^`]+)`")


def error_texts() -> list[str]:
    """What the headings of troubleshooting.md quote."""
    lines = (DOCS / "troubleshooting.md").read_text(encoding="utf-8").splitlines()
    return [text for line in lines if line.startswith("### ") for text in QUOTED.findall(line)]


def printed_texts() -> str:
    """Every text in our code, one a line; ``…`` stands for what is put into it."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    sources = [ROOT / "Makefile", *(path for path in (ROOT / "scripts").iterdir() if not path.suffix)]
    texts = [re.sub(r"\$\{?\w+\}?", "…", source.read_text(encoding="utf-8")) for source in sources]
    for package in packages:
        for path in sorted((ROOT / package.replace(".", "/")).glob("*.py")):
            texts += _texts(ast.parse(path.read_text(encoding="utf-8")))
    return "\n".join(texts)


def _texts(tree: ast.AST) -> Iterator[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


PRINTED = printed_texts()


@pytest.mark.parametrize("text", error_texts())
def test_an_error_of_the_troubleshooting_page_is_one_that_is_printed(text):
    parts = [part.strip() for part in text.split("…") if part.strip(" :;,()")]
    assert parts, "nothing constant is quoted"
    assert re.search(".*".join(map(re.escape, parts)), PRINTED), "no text in the code is like that any more"


def test_an_error_stands_in_the_troubleshooting_page_once():
    texts = error_texts()
    assert sorted(set(texts)) == sorted(texts)
