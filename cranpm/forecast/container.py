"""The outer form of a bundle: a zip without compression, in one layout only.

Any unzip opens it, and nothing can be hidden in it: the layout follows from names, sizes and checksums alone, and a
file with another byte outside its members is refused. So there are no bombs, no links, no second table of contents.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cranpm.errors import CranpmError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}(\.[A-Za-z0-9_-]{1,20}){0,3}", flags=re.ASCII)
"""A member's name: no folder, no drive, no leading dot."""

MOST_MEMBERS, MOST_BYTES = 200, 2**31  # a bundle holds a dozen files; more than 2 GiB needs another kind of zip
_LOCAL, _CENTRAL, _END = struct.Struct("<4s5H3I2H"), struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s4H2IH")
_FORM = (20, 0, 0, 0, 33)  # version 2.0, no flag, stored, 1 January 1980
_BY, _MODE = 0x0314, 0o100644 << 16  # made on Unix: a plain file, readable for all
_BLOCK = 1 << 20

Content = bytes | Path


@dataclass(frozen=True)
class Member:
    """A file in the container: its checksum, where its bytes begin, and how many there are."""

    name: str
    crc: int
    start: int
    size: int

    def read(self, stream: BinaryIO) -> bytes:
        """Its bytes."""
        stream.seek(self.start)
        return stream.read(self.size)


def write_container(path: Path, files: Mapping[str, Content]) -> None:
    """Write files, in their order, as one container that is there whole or not at all.

    Args:
        path: where to; a file that is there is replaced.
        files: content by name, as bytes or as the path of a file.

    Raises:
        ValueError: a name that `NAME` does not allow, or more than a container holds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            members = [_write_member(stream, name, content) for name, content in files.items()]
            stream.write(_directory(members))
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_members(stream: BinaryIO, path: Path) -> list[Member]:
    """The members of a container, in order; their content is not looked at.

    Raises:
        CranpmError: not a container, or not one in our layout; says at which byte.
    """
    whole = stream.seek(0, os.SEEK_END)
    if whole > MOST_BYTES:
        raise CranpmError(f"{path}: {whole:,} bytes, at most {MOST_BYTES:,} are expected: not a bundle")
    members: list[Member] = []
    place = 0
    while (member := _read_member(stream, path, place)) is not None:
        members.append(member)
        place = member.start + member.size
        if len(members) > MOST_MEMBERS or place > whole:
            raise CranpmError(f"{path}: file '{member.name}' ends beyond byte {whole:,}: cut short or altered; {_COPY}")
    if not members:
        raise CranpmError(f"{path}: not a bundle; make one with: cranpm export MODEL --out {path.name}")
    if len({member.name.lower() for member in members}) < len(members):
        raise CranpmError(f"{path}: two files of one name; {_COPY}")
    stream.seek(place)
    if stream.read(_BLOCK) != _directory(members):
        raise CranpmError(
            f"{path}: the table of contents at byte {place:,} is not that of the files before it; {_COPY}"
        )
    return members


_COPY = "copy the bundle again"


def _write_member(stream: BinaryIO, name: str, content: Content) -> Member:
    if not NAME.fullmatch(name):
        raise ValueError(f"'{name}' cannot be a name in a bundle")
    crc, size = 0, 0
    for block in _blocks(content):
        crc, size = zlib.crc32(block, crc), size + len(block)
    stream.write(_head(name, crc, size))
    member = Member(name, crc, stream.tell(), size)
    if member.start + size > MOST_BYTES:
        raise ValueError(f"'{name}' makes a bundle of more than {MOST_BYTES:,} bytes")
    for block in _blocks(content):
        stream.write(block)
    return member


def _blocks(content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as stream:
        while block := stream.read(_BLOCK):
            yield block


def _read_member(stream: BinaryIO, path: Path, place: int) -> Member | None:
    """The member whose head begins at a byte; None where the table of contents begins."""
    stream.seek(place)
    head = stream.read(_LOCAL.size)
    if place and head[:4] == b"PK\x01\x02":
        return None
    if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
        what = "not a bundle" if not place else f"nothing that belongs in a bundle at byte {place:,}"
        raise CranpmError(f"{path}: {what}; {_COPY}")
    *_, crc, size, _, length, _ = _LOCAL.unpack(head)
    raw = stream.read(length)
    name = raw.decode("ascii", errors="replace")
    if not NAME.fullmatch(name):
        raise CranpmError(
            f"{path}: a file is named {name[:80]!r}, which no bundle holds: made by another hand; {_COPY}"
        )
    if head + raw != _head(name, crc, size):
        raise CranpmError(f"{path}: the head of '{name}' is not as a bundle's is (compressed? altered?); {_COPY}")
    return Member(name, crc, place + _LOCAL.size + length, size)


def _head(name: str, crc: int, size: int) -> bytes:
    return _LOCAL.pack(b"PK\x03\x04", *_FORM, crc, size, size, len(name), 0) + name.encode("ascii")


def _directory(members: list[Member]) -> bytes:
    entries = []
    for member in members:
        offset = member.start - _LOCAL.size - len(member.name)
        entry = (_BY, *_FORM, member.crc, member.size, member.size, len(member.name), 0, 0, 0, 0, _MODE, offset)
        entries.append(_CENTRAL.pack(b"PK\x01\x02", *entry) + member.name.encode("ascii"))
    table, count = b"".join(entries), len(members)
    start = members[-1].start + members[-1].size
    return table + _END.pack(b"PK\x05\x06", 0, 0, count, count, len(table), start, 0)
