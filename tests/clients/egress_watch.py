"""Imported by every Python process of a test as `sitecustomize`: a connection beyond loopback is noted and refused."""

import os
import sys

LOOPBACK = ("127.0.0.1", "::1", "localhost", "0.0.0.0", "", "None", *os.environ.get("OWN_ADDRESS", "").split())
"""Ray's processes call each other by the machine's own address; nothing else does."""


def watch(event: str, args: tuple) -> None:
    """An audit hook."""
    if event == "socket.connect":
        host = args[1][0] if isinstance(args[1], tuple) else ""  # a path is a socket of this machine
    elif event == "socket.getaddrinfo":
        host = args[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else str(host)
    if host not in LOOPBACK:
        with open(os.environ["EGRESS"], "a") as stream:  # noqa: PTH123  # pathlib is not imported yet
            stream.write(f"{event} {host}\n")
        raise OSError(f"no connection beyond loopback in this test: {host}")


sys.addaudithook(watch)
