"""Two environments differ by what is asked for, share everything else, and say so when they do not."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import BadValueError, ConfoundedError
from bench.launch.environments import INSTALLED, differences, prepare, refuse_confounders, under_test
from tests.wheels import wheel


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two versions of a package, and one that drags another along."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.0", "2.0"):
        wheel(folder, "ftbench_thing", version)
    wheel(folder, "ftbench_other", "1.0")
    return folder


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, wheels: Path):
    """Environments of both versions."""
    home = tmp_path_factory.mktemp("homes")
    return [
        prepare(str(wheels / f"ftbench_thing-{version}-py3-none-any.whl"), home / version) for version in ("1.0", "2.0")
    ]


def test_only_what_was_asked_for_differs(sides):
    """Of two versions of one package, that package alone differs and is what is tested."""
    old, new = sides
    (both,) = [differences(old, new)["ftbench-thing"]]
    assert [version.partition(" ")[0] for version in both] == ["1.0", "2.0"]
    assert list(differences(old, new)) == ["ftbench-thing"]
    assert under_test(old, new) == ["ftbench-thing"]
    refuse_confounders(old, new, ())


def test_everything_else_is_shared(sides):
    """An overlay holds its own package; msgspec and ftbench are found where this interpreter finds them."""
    code = "import msgspec, bench, ftbench_thing as own; print(*(m.__file__ for m in (msgspec, bench, own)), sep='\\n')"
    for side in sides:
        run = subprocess.run([side.python, "-P", "-c", code], capture_output=True, text=True, check=True,
                             env={**os.environ, **side.variables})  # fmt: skip
        import msgspec

        import bench

        shared, ours, own = run.stdout.splitlines()
        assert (shared, ours) == (msgspec.__file__, bench.__file__)
        assert Path(own).is_relative_to(Path(side.python).parent.parent)


def test_an_environment_is_made_once(wheels, tmp_path):
    """The same words below the same folder install nothing again; other words make it anew."""
    home = tmp_path / "home"
    prepare(str(wheels / "ftbench_thing-1.0-py3-none-any.whl"), home)
    (home / "left").touch()
    prepare(str(wheels / "ftbench_thing-1.0-py3-none-any.whl"), home)
    assert (home / "left").exists()
    again = prepare(str(wheels / "ftbench_thing-2.0-py3-none-any.whl"), home)
    assert not (home / "left").exists()
    assert again.versions["ftbench-thing"].startswith("2.0 (files ")


def test_files_count_and_not_versions_alone(tmp_path):
    """Two wheels of one version with other files are two sides; a wheel that was built anew is installed anew."""
    code = [wheel(tmp_path / str(n), "ftbench_thing", "1.0", {"ftbench_thing.py": f"N = {n}\n"}) for n in range(2)]
    old, new = (prepare(str(made), tmp_path / f"home-{n}") for n, made in enumerate(code))
    assert list(differences(old, new)) == ["ftbench-thing"]
    wheel(tmp_path / "0", "ftbench_thing", "1.0", {"ftbench_thing.py": "N = 1\n"})
    again = prepare(str(code[0]), tmp_path / "home-0")
    assert differences(again, new) == {}


def test_a_patched_wheel_of_the_installed_version_is_what_is_tested(tmp_path):
    """A wheel with the very version that is shared takes its place in the side, and is named as what differs."""
    from importlib import metadata

    version = metadata.version("packaging")
    files = {"packaging/__init__.py": "__version__ = 'patched'\n", "packaging/version.py": ""}
    made = wheel(tmp_path, "packaging", version, files)
    side, bare = prepare(str(made), tmp_path / "home"), prepare(INSTALLED, tmp_path / "bare")
    code = "import packaging; print(packaging.__version__)"
    run = subprocess.run([side.python, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "patched\n"
    assert list(differences(bare, side)) == ["packaging"]
    assert under_test(bare, side) == ["packaging"]


def test_several_packages_make_a_side(wheels, tmp_path):
    """A mix of packages is one side, and all of them are tested."""
    words = f"{wheels / 'ftbench_thing-2.0-py3-none-any.whl'} {wheels / 'ftbench_other-1.0-py3-none-any.whl'}"
    both, bare = prepare(words, tmp_path / "both"), prepare(INSTALLED, tmp_path / "bare")
    assert under_test(bare, both) == ["ftbench-other", "ftbench-thing"]
    assert list(differences(bare, both)) == ["ftbench-other", "ftbench-thing"]


def test_what_is_dragged_along_confounds(wheels, tmp_path):
    """A package that brings another version of a second one is not compared, unless the second may differ."""
    prepare(str(wheels / "ftbench_other-1.0-py3-none-any.whl"), tmp_path / "old")
    old = prepare(INSTALLED, tmp_path / "old")
    needy = wheel(tmp_path / "needy", "ftbench_needy", "1.0", needs="ftbench_other==1.0")
    os.environ["PIP_FIND_LINKS"], before = str(wheels), os.environ.get("PIP_FIND_LINKS")
    try:
        new = prepare(str(needy), tmp_path / "new")
    finally:
        if before is None:
            del os.environ["PIP_FIND_LINKS"]
        else:
            os.environ["PIP_FIND_LINKS"] = before
    with pytest.raises(ConfoundedError, match=r"ftbench-other absent and 1\.0"):
        refuse_confounders(old, new, ())
    refuse_confounders(old, new, ["ftbench_other"])
    refuse_confounders(old, new, ["all"])


def test_two_interpreters_are_sides(tmp_path):
    """An interpreter, or its environment's folder, is a side as it is; equal ones do not differ."""
    old, new = prepare(sys.executable, tmp_path / "old"), prepare(INSTALLED, tmp_path / "new")
    assert differences(old, new) == {}
    assert under_test(old, new) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ftbench_thing-9.9-py3-none-any.whl", "cannot install"),
        ("not a requirement!", "cannot install"),
        ("   ", "empty"),
    ],
)
def test_what_cannot_be_installed_is_said_in_a_line(tmp_path, words, said):
    """Words that pip refuses end in one line with its reason, and leave no environment that looks finished."""
    with pytest.raises(BadValueError, match=said) as refused:
        prepare(words, tmp_path / "home")
    assert "\n" not in str(refused.value)
    with pytest.raises(BadValueError):
        prepare(words, tmp_path / "home")


def test_an_interpreter_without_ftbench_is_refused(tmp_path):
    """What does not answer is named with its last words."""
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho no module named msgspec >&2\nexit 1\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(BadValueError, match="no module named msgspec"):
        prepare(str(fake), tmp_path / "home")
