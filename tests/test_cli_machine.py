"""`ftbench env` and `ftbench doctor`: facts without names, one line for what can be measured or why it cannot."""

from __future__ import annotations

import getpass
import json
import platform
import sys

from bench.launch import doctor, machine


def test_env_prints_what_every_record_holds(ftbench):
    """Every fact of this machine stands on a line, and neither the host's nor the user's name does."""
    done = ftbench("env")
    lines = dict(line.split(None, 1) for line in done.stdout.splitlines())

    assert done.returncode == 0
    assert machine.facts().keys() - lines.keys() <= {"variable.OMP_NUM_THREADS"}
    assert lines["python"] == platform.python_version()
    for name in {platform.node(), getpass.getuser()} - {"", "root", "localhost"}:
        assert name not in done.stdout


def test_env_is_json_for_programs(ftbench):
    """With --json the same facts keep their types."""
    facts = json.loads(ftbench("env", "--json").stdout)

    assert isinstance(facts["cpu.cores"], int)
    assert facts["torch.threads"] >= 1


def test_doctor_says_yes_or_why_not(ftbench):
    """One line a finding: the device, yes or no, and for every no a reason."""
    done = ftbench("doctor")
    lines = done.stdout.splitlines()

    assert done.returncode == 0, done.stderr
    assert any(line.startswith("cpu   yes  training") for line in lines)
    refusals = [line for line in lines if line[6:9] == "no "]
    assert all(len(line.split("  ", 2)[-1].split()) > 3 for line in refusals)


def test_doctor_without_torch_is_one_line_with_the_remedy(ftbench, monkeypatch, capsys):
    """A reader's laptop has no torch: the doctor says what to install."""
    from bench.cli import main

    monkeypatch.setattr(doctor, "find_spec", lambda name: None)

    assert main(["doctor"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "pip install" in said


def test_a_worker_that_dies_is_an_answer(monkeypatch):
    """The hardware check goes on when a part of it dies, and keeps its last words."""
    monkeypatch.setattr(sys, "executable", "/bin/false")

    assert doctor._asked("gpu", "card") == {"died": "exit code 1: "}
