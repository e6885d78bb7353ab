"""Which changes of our source make a stage run again."""

import ast
from pathlib import Path

import pytest

from pipeline import source

ROOT = Path(__file__).parents[2]

TREE = {
    "steps/__init__.py": "",
    "steps/convert.py": """
        import numpy
        import tools.shapes
        from tools import names
        from steps.formats import read

        def convert():
            from tools.late import late
    """,
    "steps/formats.py": "from steps.deep.bytes import order",
    "steps/deep/__init__.py": "",
    "steps/deep/bytes.py": "order = 1",
    "steps/other.py": "unrelated = 1",
    "tools/__init__.py": "import tools.setting",
    "tools/setting.py": "",
    "tools/shapes.py": "",
    "tools/names.py": "",
    "tools/late.py": "def late(): ...",
    "tools/unused.py": "",
    "by_name.py": "",
    "requirements.lock": "numpy==1",
}


def write(root: Path) -> None:
    for name, text in TREE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(line.removeprefix(" " * 8) for line in text.splitlines()))


def use(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a new process would see: nothing is remembered between two exports."""
    monkeypatch.setattr(source, "ROOT", root)
    for function in (source.source_digest, source.libraries_digest, source._files, source._imports):
        function.cache_clear()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    write(tmp_path / "tree")
    use(tmp_path / "tree", monkeypatch)
    yield tmp_path / "tree"
    monkeypatch.undo()
    use(ROOT, monkeypatch)


def digests(tree: Path, monkeypatch: pytest.MonkeyPatch, changed: Path, *modules: str) -> tuple[str, str]:
    """Before and after a line is added to a file."""
    before = source.source_digest(*modules)
    changed.parent.mkdir(parents=True, exist_ok=True)
    with changed.open("a") as file:
        file.write("\nadded = 1\n")
    use(tree, monkeypatch)
    return before, source.source_digest(*modules)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param("steps/convert.py", id="the module itself"),
        pytest.param("steps/formats.py", id="imported: from module import name"),
        pytest.param("tools/shapes.py", id="imported: import package.module"),
        pytest.param("tools/names.py", id="imported: from package import module"),
        pytest.param("tools/late.py", id="imported inside a function"),
        pytest.param("steps/deep/bytes.py", id="imported by an imported module"),
        pytest.param("steps/deep/__init__.py", id="package around an imported module"),
        pytest.param("steps/__init__.py", id="package around the module"),
        pytest.param("tools/setting.py", id="imported by a package"),
    ],
)
def test_a_change_in_what_runs_changes_the_digest(tree, monkeypatch, changed):
    before, after = digests(tree, monkeypatch, tree / changed, "steps.convert")
    assert before != after


@pytest.mark.parametrize("changed", ["steps/other.py", "tools/unused.py", "by_name.py", "new.py", "numpy.txt"])
def test_a_change_in_what_does_not_run_changes_nothing(tree, monkeypatch, changed):
    before, after = digests(tree, monkeypatch, tree / changed, "steps.convert")
    assert before == after


def test_a_module_named_beside_the_first_counts_too(tree, monkeypatch):
    before, after = digests(tree, monkeypatch, tree / "by_name.py", "steps.convert", "by_name")
    assert before != after


def test_modules_of_other_packages_are_not_read(tree, monkeypatch, tmp_path):
    elsewhere = tmp_path / "site-packages/numpy.py"
    elsewhere.parent.mkdir()
    monkeypatch.syspath_prepend(str(elsewhere.parent))
    before, after = digests(tree, monkeypatch, elsewhere, "steps.convert")
    assert before == after
    assert source.source_digest("numpy") == source.source_digest("json")


def test_a_module_of_ours_that_takes_the_name_of_a_library_counts(tree, monkeypatch):
    before, after = digests(tree, monkeypatch, tree / "numpy.py", "steps.convert")
    assert before != after


def test_a_file_that_moves_changes_the_digest_though_its_bytes_stay(tree, monkeypatch):
    before = source.source_digest("steps.convert")
    (tree / "tools/late").mkdir()
    (tree / "tools/late.py").rename(tree / "tools/late/__init__.py")
    use(tree, monkeypatch)
    assert source.source_digest("steps.convert") != before


def test_the_digest_is_the_same_in_another_clone(tree, monkeypatch, tmp_path):
    here = source.source_digest("steps.convert")
    write(tmp_path / "clone")
    use(tmp_path / "clone", monkeypatch)
    assert source.source_digest("steps.convert") == here


def test_the_digest_of_the_libraries_is_that_of_the_lock_file(tree, monkeypatch):
    before = source.libraries_digest()
    (tree / "requirements.lock").write_text("numpy==2")
    use(tree, monkeypatch)
    assert source.libraries_digest() != before


def test_every_import_of_ours_is_absolute_since_no_other_is_followed():
    packages = [folder for folder in ROOT.iterdir() if (folder / "__init__.py").is_file()]
    files = [file for package in packages for file in package.rglob("*.py")]
    relative = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert len(files) > len(packages) > 1
    assert relative == []
