"""A memory group really confines, really goes away, and where there is none its absence is put in words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.errors import UnsupportedError
from bench.worker.paging import confine
from bench.worker.paging.confine import Confinement

MOUNT_1 = "32 31 0:29 {top} {at} rw,relatime shared:5 - cgroup cgroup rw,memory\n"
MOUNT_2 = "24 31 0:38 {top} {at} rw - cgroup2 cgroup2 rw\n"
CPU = "33 31 0:30 / /elsewhere rw - cgroup cgroup rw,cpu\n"

FAULTING_CHILD = """
import ctypes, mmap, sys, tempfile
from bench.worker.paging.confine import Confinement
from bench.worker.probes.host import page_faults
SIZE, MIB = 96 * 2**20, 2**20
with tempfile.TemporaryFile(dir=sys.argv[1]) as file:
    file.truncate(SIZE)
    memory = mmap.mmap(file.fileno(), SIZE)
def walk():
    before = page_faults().major
    for page in range(0, SIZE, mmap.PAGESIZE):
        memory[page] = 1 + memory[page] % 200
    return page_faults().major - before
with Confinement() as group:
    walk()
    open_faults = walk()
    group.limit(group.held_bytes() + 32 * MIB)
    confined_faults = sum(walk() for _ in range(3))
    group.limit(None)
    walk()
    again = walk()
print(open_faults, confined_faults, again, set(memory[::mmap.PAGESIZE]))
"""

WAITING_CHILD = """
import sys
from bench.worker.paging.confine import Confinement
with Confinement() as group:
    print(group._group, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def confinable():
    """Skip where this machine lets nobody make a memory group."""
    try:
        with Confinement():
            pass
    except UnsupportedError as refusal:
        pytest.skip(str(refusal))


def child(code, *arguments, **options):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], text=True, **options)


def test_under_a_limit_the_process_lives_and_faults(confinable, tmp_path):
    """A file larger than the limit is read again and again; without the limit, not once; its bytes stay right."""
    run = child(FAULTING_CHILD, tmp_path, stdout=subprocess.PIPE)
    said, _ = run.communicate(timeout=120)

    assert run.returncode == 0
    open_faults, confined, again, values = said.split(maxsplit=3)
    assert int(open_faults) == 0
    assert int(confined) > 0
    assert int(again) == 0
    assert values == "{7}\n"  # seven walks added one each to every page


def test_the_block_leaves_this_process_where_it_was(confinable):
    """Inside, the process is in a group of its own name; after it, also by an exception, in the old one."""
    before = Path("/proc/self/cgroup").read_text()
    inside = ""

    def fail():
        nonlocal inside
        with Confinement():
            inside = Path("/proc/self/cgroup").read_text()
            raise KeyError("work failed")

    with pytest.raises(KeyError):
        fail()

    assert f"/ftbench-{os.getpid()}\n" in inside
    assert Path("/proc/self/cgroup").read_text() == before
    assert not Confinement()._group.exists()


def test_a_killed_process_leaves_an_empty_group_that_the_next_one_removes(confinable):
    """SIGKILL gives no chance to clean up; the next start finds the leftover and it is gone."""
    run = child(WAITING_CHILD, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    group = Path(run.stdout.readline().strip())
    held = (group / "cgroup.procs").read_text().split()
    run.send_signal(signal.SIGKILL)
    run.wait(timeout=60)
    left = group.exists()

    with Confinement():
        found = group.exists()

    assert held == [str(run.pid)]
    assert left
    assert not found


def test_a_living_neighbours_group_is_left_alone(confinable):
    """Starting a run while another one is confined takes nothing from it."""
    run = child(WAITING_CHILD, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    group = Path(run.stdout.readline().strip())

    with Confinement():
        pass

    assert str(run.pid) in (group / "cgroup.procs").read_text().split()
    run.stdin.close()
    run.wait(timeout=60)
    assert not group.exists()


def test_only_groups_of_the_dead_are_removed(tmp_path):
    """Named after a living process, a group may be between its making and its first member; others' are not ours."""
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    names = (f"ftbench-{os.getpid()}", f"ftbench-{int(gone.stdout)}", "session")
    for name in names:
        (tmp_path / name / names[1]).mkdir(parents=True)

    confine.remove_leftovers(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted((names[0], "session"))
    assert (tmp_path / "session" / names[1]).exists()


def system(tmp_path, groups, mounts):
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "cgroup").write_text(groups)
    (proc / "mountinfo").write_text(mounts)
    return proc


def folder(path, **files):
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text)
    return path


def test_version_1_makes_the_group_below_its_own(tmp_path):
    """The mount with the memory controller is taken, whatever else is mounted or listed."""
    here = folder(tmp_path / "memory" / "session")
    groups = "9:cpu:/other\n4:memory:/session\n0::/unified\n"
    proc = system(tmp_path, groups, CPU + MOUNT_1.format(top="/", at=tmp_path / "memory"))

    names, home, parent = confine._place(proc)

    assert (names, home, parent) == (confine.VERSION_1, here, here)


def test_a_container_sees_its_own_group_at_the_mounts_top(tmp_path):
    """A mount that shows only /docker/abc has that group's files at its top."""
    proc = system(
        tmp_path, "4:hugetlb,memory:/docker/abc/run\n", MOUNT_1.format(top="/docker/abc", at=tmp_path / "memory")
    )
    assert confine._place(proc)[1] == tmp_path / "memory" / "run"


@pytest.mark.parametrize(("own", "above", "expected"), [("cpu memory", "", "own"), ("", "memory pids", "above")])
def test_version_2_takes_the_group_whose_children_have_the_controller(tmp_path, own, above, expected):
    """A group that holds processes cannot delegate, so usually it is the one above."""
    top = folder(tmp_path / "unified" / "app.slice", cgroup__subtree_control=above)
    home = folder(top / "run.scope", cgroup__subtree_control=own)
    proc = system(tmp_path, "0::/app.slice/run.scope\n", MOUNT_2.format(top="/", at=tmp_path / "unified"))

    names, found, parent = confine._place(proc)

    assert (names, found) == (confine.VERSION_2, home)
    assert parent == {"own": home, "above": top}[expected]


def test_version_2_writes_high_and_never_max(tmp_path):
    """The limit is memory.high, which takes pages back, and no swap; leaving opens it and goes home."""
    top = folder(tmp_path / "unified" / "app", cgroup__subtree_control="memory")
    home = folder(top / "run", cgroup__procs="")
    proc = system(tmp_path, "0::/app/run\n", MOUNT_2.format(top="/", at=tmp_path / "unified"))
    with Confinement(proc) as group:
        made = top / f"ftbench-{os.getpid()}"
        folder(made, memory__stat="anon 700\nfile 300\nshmem 20\n", memory__current="1000")
        group.limit(500)
        written = {path.name: path.read_text() for path in made.iterdir()}
        held = group.held_bytes()

    assert written["memory.high"] == "500"
    assert written["memory.swap.max"] == "0"
    assert written["cgroup.procs"] == str(os.getpid())
    assert "memory.max" not in written
    assert held == 1000 - 300 + 20
    assert (made / "memory.high").read_text() == "max"
    assert (home / "cgroup.procs").read_text() == str(os.getpid())


@pytest.mark.parametrize(
    ("groups", "mounts", "reason"),
    [
        ("0::/app/run\n", MOUNT_2, "no memory controller was delegated.*systemd-run"),
        ("3:cpu:/\n", CPU, "the kernel has no memory controller"),
        ("4:memory:/x\n", CPU, "no cgroup file system shows"),
        ("4:memory:/x\n", MOUNT_1.replace("{top}", "/other"), "no cgroup file system shows"),
        ("0::/x\n", MOUNT_2.replace("cgroup2", "tmpfs"), "no cgroup2 file system shows"),
    ],
)
def test_where_memory_cannot_be_limited_the_reason_is_in_words(tmp_path, groups, mounts, reason):
    """Not delegated, no controller, not mounted: each is told apart, in one line."""
    at = folder(tmp_path / "unified")
    folder(at / "app" / "run", cgroup__subtree_control="")
    with pytest.raises(UnsupportedError, match=reason) as refused:
        Confinement(system(tmp_path, groups, mounts.format(top="/", at=at)))
    assert "\n" not in str(refused.value)


def test_a_system_without_groups_is_named(tmp_path):
    """Other systems have no /proc/self/cgroup."""
    with pytest.raises(UnsupportedError, match="no control groups"):
        Confinement(tmp_path)


def test_a_group_that_may_not_be_made_says_why(tmp_path):
    """A parent that lets nothing be made in it, here because it is not there, is refused with the system's words."""
    proc = system(tmp_path, "4:memory:/gone\n", MOUNT_1.format(top="/", at=tmp_path / "memory"))
    with pytest.raises(UnsupportedError, match=r"refused \(No such file or directory\)"), Confinement(proc):
        pass


def test_a_limit_that_is_not_kept_is_an_error(tmp_path):
    """Version 1 refuses a limit it cannot reach; going on would measure nothing."""
    here = folder(tmp_path / "memory" / "s", cgroup__procs="")
    proc = system(tmp_path, "4:memory:/s\n", MOUNT_1.format(top="/", at=tmp_path / "memory"))
    with Confinement(proc) as group:
        (here / f"ftbench-{os.getpid()}" / "memory.limit_in_bytes").mkdir()  # a folder cannot be written as a file
        with pytest.raises(UnsupportedError, match="would not keep to 77 bytes: Is a directory"):
            group.limit(77)
