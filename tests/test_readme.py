"""The README says what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def tree() -> str:
    """The fenced block under the heading of the house."""
    found = re.search(r"## The house.*?```text\n(.*?)```", README, re.DOTALL)
    assert found, "the README has no tree"
    return found.group(1)


def listed() -> dict[str, str]:
    """Map every folder of the tree to its own lines and those of the files directly in it."""
    folders: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    for line in tree().splitlines():
        indent = len(line) - len(line.lstrip())
        path = [(depth, name) for depth, name in path if depth < indent]
        name = line.split()[0]
        if name.endswith("/"):
            path.append((indent, name))
        key = "".join(part for _, part in path)
        folders[key] = folders.get(key, "") + line + "\n"
    return folders


@pytest.mark.parametrize("top", ["bench", "suites"])
def test_every_file_stands_in_the_tree(top):
    """Each source file of the package and the suites is named under its folder."""
    folders = listed()

    files = [p for p in (ROOT / top).rglob("*") if p.suffix in {".py", ".html", ".css", ".js", ".json"}]
    assert files
    for file in files:
        if file.name == "__init__.py" or "__pycache__" in file.parts:
            continue
        folder = file.parent.relative_to(ROOT).as_posix() + "/"
        assert file.name in folders.get(folder, ""), f"{file.relative_to(ROOT)} is missing in the README's tree"


def test_the_tree_names_nothing_that_is_not_there():
    """Each Python file the tree names exists."""
    for folder, lines in listed().items():
        for name in re.findall(r"[\w.]+\.py\b", lines):
            assert list((ROOT / folder).glob(name)) or list(ROOT.glob(f"{folder}**/{name}")), folder + name


def test_a_filled_in_readme_has_no_gaps():
    """No place for a figure or an output was left open."""
    assert not re.search(r"MEASURED_OUTPUT|DEFAULT_MINUTES|TODO|FIXME", README)
