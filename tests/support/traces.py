"""Traces of a server's system calls by strace, to see what it flushes before it answers."""

import re

__all__ = ["joined", "strace"]

SENDING = ("sendmsg(", "sendto(", "write(", "writev(")


def strace(trace: str, calls: str, *options: str) -> list[str]:
    """Returns the beginning of a command that writes these calls of a program and its threads to a file.

    `--seccomp-bpf` stops the program at no other call, which makes it several times faster.
    """
    return ["strace", "-f", "--seccomp-bpf", "-y", "-qq", *options, "-o", trace, "-e", f"trace={calls}"]


def joined(lines: list[str]) -> list[str]:
    """Returns the lines of a trace with calls in one piece: strace splits those of several threads.

    A call is at its end, when a flush is done, but what is sent is at its beginning.
    """
    begun: dict[str, str] = {}
    whole = []
    for line in lines:
        thread, rest = line.split(maxsplit=1)
        if "<unfinished ...>" in rest:
            begun[thread] = rest.partition("<unfinished ...>")[0]
            if rest.startswith(SENDING):
                whole.append(begun.pop(thread))
        elif match := re.search(r"<\.\.\. \w+ resumed>(.*)", rest):
            whole.append(begun.pop(thread, "") + match[1])
        else:
            whole.append(rest)
    return whole
