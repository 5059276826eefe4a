"""The program inside the jail: shut every door, run what was given, and only then say the secret word.

`run.py` starts it as a script, with the standard library and nothing of ours to import. Its order, JSON on standard
input: "program" (source), "word", "filter" (seccomp, hexadecimal), "limits" (name in `resource` to value). Its answer,
on standard output: a line that says which walls stand, or "refused: why"; after the program the word.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38  # linux/prctl.h
SECCOMP_MODE_FILTER = 2  # linux/seccomp.h
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
INSTRUCTION_BYTES = 8


class _Filter(ctypes.Structure):
    """What struct sock_fprog of linux/filter.h holds."""

    _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_char_p))


def main() -> None:
    """Serve one order."""
    order = json.loads(sys.stdin.buffer.read())
    answers = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    try:
        walls = _shut(bytes.fromhex(order["filter"]), order["limits"])
    except OSError as error:
        os.write(answers, f"refused: {error}\n".encode())
        os._exit(1)
    os.write(answers, f"{walls}\n".encode())
    exec(order["program"], {"__name__": "answer"})  # noqa: S102 (what this process is for)
    os.write(answers, order["word"].encode())
    os._exit(0)


def _shut(lines: bytes, limits: dict[str, int]) -> str:
    """Give up everything but computing; return which walls stand. Raises `OSError` where the filter is not taken."""
    libc = ctypes.CDLL(None, use_errno=True)
    apart = libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # afterwards: a change of credentials clears it
    for name, most in limits.items():
        kind = getattr(resource, name)
        ceiling = resource.getrlimit(kind)[1]
        least = most if ceiling == resource.RLIM_INFINITY else min(most, ceiling)
        resource.setrlimit(kind, (least, least))
    given = _Filter(len(lines) // INSTRUCTION_BYTES, lines)
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(given), 0, 0),
    ):
        if libc.prctl(*arguments) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    return "system calls filtered, a network namespace of its own" if apart else "system calls filtered"


if __name__ == "__main__":
    main()
