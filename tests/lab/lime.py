"""A memory image as LiME has it: records of a header of 32 bytes and the memory between two physical addresses."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from mmap import mmap

_HEADER = struct.Struct("<IIQQQ")
_MAGIC = 0x4C694D45


@dataclass(frozen=True)
class Record:
    """Memory from `first` to `last`, both included; in the image from `at` on."""

    first: int
    last: int
    at: int


def records(image: mmap) -> list[Record]:
    """Every record. They ascend, and the last one ends where the image does; anything else is an error."""
    found: list[Record] = []
    offset = 0
    while offset < len(image):
        if offset + _HEADER.size > len(image):
            raise ValueError(f"the image ends within a header, at {offset:#x}")
        magic, version, first, last, reserved = _HEADER.unpack_from(image, offset)
        if (magic, version, reserved) != (_MAGIC, 1, 0) or last < first or (found and first <= found[-1].last):
            raise ValueError(f"there is no LiME header at {offset:#x}, or its addresses do not ascend")
        found.append(Record(first, last, offset + _HEADER.size))
        offset += _HEADER.size + last - first + 1
    if offset != len(image):
        raise ValueError(f"the last record has {offset - len(image)} bytes more than the image")
    return found


def address(found: list[Record], offset: int) -> int:
    """The physical address of a byte of the image."""
    for record in found:
        if record.at <= offset <= record.at + record.last - record.first:
            return record.first + offset - record.at
    raise ValueError(f"{offset:#x} is in no record")
