"""Toolsmith with single numbers of its header written over, in place and as a damaged download would have them."""

import struct

from workbench.data import toolsmith

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
SIZES = {UINT32: 4, INT32: 4, FLOAT32: 4, BOOL: 1}
START = 24  # behind magic, version and the two counts


def numbers(data):
    """The place and the GGUF type of each number of a header whose arrays hold texts and 4-byte numbers."""
    at, found = START, {}
    for _ in range(struct.unpack_from("<Q", data, 16)[0]):
        name, at = _text(data, at)
        kind = struct.unpack_from("<i", data, at)[0]
        at += 4
        if kind in SIZES:
            found[name.decode()] = (at - 4, kind)
            at += SIZES[kind]
        elif kind == STRING:
            _, at = _text(data, at)
        else:
            of, count = struct.unpack_from("<iQ", data, at)
            at += 12
            for _ in range(count if of == STRING else 0):
                _, at = _text(data, at)
            at += 0 if of == STRING else 4 * count
    return found


def _text(data, at):
    size = struct.unpack_from("<Q", data, at)[0]
    return data[at + 8 : at + 8 + size], at + 8 + size


WHOLE = toolsmith().read_bytes()
NUMBERS = {name: place for name, (place, kind) in numbers(WHOLE).items() if kind != BOOL}


def with_number(name, kind, raw):
    """Toolsmith's bytes with the four bytes `raw` of the GGUF type `kind` in place of this number."""
    at = NUMBERS[name]
    return WHOLE[:at] + struct.pack("<i", kind) + raw + WHOLE[at + 8 :]
