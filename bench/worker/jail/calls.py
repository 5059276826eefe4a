"""The system calls that computing takes, as a seccomp filter; whatever is not listed fails with EPERM.

No sockets, no processes or threads, no signals to others, no change to any file. Numbers are from Linux'
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h, the program's form from
Documentation/userspace-api/seccomp_filter.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from types import MappingProxyType

ARCHITECTURES: Mapping[str, int] = MappingProxyType({"x86_64": 0xC000003E, "aarch64": 0xC00000B7})
"""AUDIT_ARCH_* of linux/audit.h by what uname calls the machine."""

PLAIN: Mapping[str, tuple[int | None, int | None]] = MappingProxyType({
    "read": (0, 63), "readv": (19, 65), "pread64": (17, 67), "write": (1, 64), "writev": (20, 66), "close": (3, 57),
    "lseek": (8, 62), "stat": (4, None), "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79),
    "statx": (332, 291), "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439),
    "readlink": (89, None), "readlinkat": (267, 78), "getcwd": (79, 17), "getdents64": (217, 61), "dup": (32, 23),
    "mmap": (9, 222), "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216), "madvise": (28, 233),
    "brk": (12, 214), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132), "futex": (202, 98), "exit": (60, 93), "exit_group": (231, 94), "getpid": (39, 172),
    "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101),
    "gettimeofday": (96, 169), "time": (201, None), "getrandom": (318, 278), "sysinfo": (99, 179),
    "uname": (63, 160), "getrusage": (98, 165), "times": (100, 153), "sched_getaffinity": (204, 123),
    "sched_yield": (24, 124), "poll": (7, None), "ppoll": (271, 73),
})  # fmt: skip
"""Allowed with any arguments: the number on x86_64 and on aarch64, None where there is no such call."""

OPENING: Mapping[str, tuple[tuple[int | None, int | None], int]] = MappingProxyType({
    "open": ((2, None), 1), "openat": ((257, 56), 2),
})  # fmt: skip
"""Allowed to read only: numbers, and which argument holds the flags."""

WRITING = 0o3 | 0o100 | 0o1000
"""O_WRONLY and O_RDWR, O_CREAT, O_TRUNC (asm-generic/fcntl.h); O_TMPFILE needs one of the first two."""

FCNTL = (72, 25)
FCNTL_COMMANDS = (1, 2, 3, 1030)
"""F_GETFD, F_SETFD, F_GETFL and F_DUPFD_CLOEXEC; others could have signals sent."""

LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06  # linux/bpf_common.h: LD|W|ABS, JMP|JEQ|K, JMP|JSET|K, RET|K
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050001, 0x80000000  # linux/seccomp.h; REFUSE is SECCOMP_RET_ERRNO with EPERM
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data, arguments of 8 bytes each

Instruction = tuple[int, int, int, int]
"""Code, how far to jump if true, if false, and the constant."""


def program(machine: str) -> bytes:
    """Return the filter for a machine, as an array of struct sock_filter. Raises `KeyError` for one not listed."""
    column = list(ARCHITECTURES).index(machine) if machine in ARCHITECTURES else -1
    lines: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, ARCHITECTURES[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
    ]
    for numbers in PLAIN.values():
        lines += _for_call(numbers[column], [(RETURN, 0, 0, ALLOW)])
    for numbers, argument in OPENING.values():
        reading = [_argument(argument), (ANY_BIT, 1, 0, WRITING), (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
        lines += _for_call(numbers[column], reading)
    commands = [line for command in FCNTL_COMMANDS for line in ((EQUAL, 0, 1, command), (RETURN, 0, 0, ALLOW))]
    lines += _for_call(FCNTL[column], [_argument(1), *commands, (RETURN, 0, 0, REFUSE)])
    return b"".join(struct.pack("=HBBI", *line) for line in [*lines, (RETURN, 0, 0, REFUSE)])


def _for_call(number: int | None, then: Iterable[Instruction]) -> list[Instruction]:
    """Do something for one system call, and pass all others by."""
    lines = list(then)
    return [] if number is None else [(EQUAL, 0, len(lines), number), *lines]


def _argument(place: int) -> Instruction:
    """Load the lower half of an argument; flags and commands have no more."""
    return LOAD, 0, 0, ARGUMENTS + 8 * place
