"""A saved trace that somebody changed: it is a trace, or one sentence; nothing larger than a trace is unpacked."""

import copy
import hashlib
import io
import json
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.bounded import MOST_VALUES
from workbench.data import toolsmith
from workbench.errors import BadFile
from workbench.packed import MOST_BYTES
from workbench.setup import Setup
from workbench.trace import STAGES, Trace, trace

pytestmark = pytest.mark.model

ANY_TEST = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 2**31, 2**63, 10**400]),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([[], {}, [[]], [None], {"a": 1}, ["a", 2]]),
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A trace of all stages, in its folder."""
    setup = Setup.from_dict(
        {"model": str(toolsmith()), "runtime": {"n_threads": 1}, "sampling": {"max_tokens": 4, "temperature": 1.0}}
    )
    found = trace([{"role": "user", "content": "Hi"}], setup)
    return found.save(tmp_path_factory.mktemp("saved"))


@pytest.fixture
def changed(saved, tmp_path):
    """Writes the trace again with other content and the hashes that belong to it; loads it, or gives the sentence."""

    def load(**contents):
        files = {name: (saved / name).read_bytes() for name in ("trace.json", "arrays.npz")}
        files |= {name.replace("_", "."): content for name, content in contents.items()}
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        for name, content in (files | {"hashes.json": json.dumps(hashes).encode()}).items():
            (tmp_path / name).write_bytes(content)
        try:
            return Trace.load(tmp_path)
        except BadFile as error:
            return one_line(str(error))

    return load


def one_line(said):
    assert "\n" not in said
    assert len(said) < 1000
    return said


def usable(found):
    """Whether what came of a changed trace can be shown and saved, or is a sentence."""
    if isinstance(found, Trace):
        assert json.loads(found.to_json())
        assert [repr(getattr(found, name)) for name in STAGES]
    return True


flips = st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=5)


@ANY_TEST
@given(name=st.sampled_from(["trace_json", "arrays_npz"]), flips=flips, keep=st.none() | st.integers(0, 2**15))
def test_bytes_that_flipped_or_are_cut_off(saved, changed, name, flips, keep):
    content = bytearray((saved / name.replace("_", ".")).read_bytes()[:keep])
    for at, value in flips if content else ():
        content[at % len(content)] = value
    assert usable(changed(**{name: bytes(content)}))


def places(value, path=()):
    """The path of everything in a JSON value, of lists the first few items."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


@ANY_TEST
@given(data=st.data(), odd=ODD, keep=st.booleans())
def test_a_value_of_another_kind(saved, changed, data, odd, keep):
    content = json.loads((saved / "trace.json").read_bytes())
    *path, last = data.draw(st.sampled_from(places(content)[1:]))
    holder = content
    for key in path:
        holder = holder[key]
    if keep:
        holder[last] = odd
    else:
        del holder[last]
    assert usable(changed(trace_json=json.dumps(content).encode()))


def packed(arrays, save=np.savez_compressed):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


@pytest.fixture
def arrays(saved):
    return dict(np.load(saved / "arrays.npz"))


WRONG = {
    "another type": lambda a: a | {"rank": a["rank"].astype(np.float64)},
    "objects": lambda a: a | {"rank": np.array([{}] * len(a["rank"]))},
    "shorter": lambda a: a | {"entropy": a["entropy"][:-1]},
    "another dimension": lambda a: a | {"margin": a["margin"][:, None]},
    "fewer candidates": lambda a: a | {"top_ids": a["top_ids"][:, :2]},
    "in the other order": lambda a: a | {"top_ids": np.asfortranarray(a["top_ids"])},
    "one is missing": lambda a: {name: a[name] for name in a if name != "logsumexp"},
    "one is unknown": lambda a: a | {"more": a["rank"]},
    "logits of no position": lambda a: a | {f"logits_{len(a['rank'])}": np.zeros(1024, np.float32)},
    "logits of another vocabulary": lambda a: a | {"logits_0": np.zeros(1000, np.float32)},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_arrays_that_do_not_belong_to_the_tokens(changed, arrays, change):
    assert "holds no readable trace" in changed(arrays_npz=packed(change(arrays)))


def test_arrays_as_numpy_writes_them_otherwise_too(changed, arrays):
    assert isinstance(changed(arrays_npz=packed(arrays, np.savez)), Trace)


def bomb(member, size=1 << 34):
    """An array whose header is honest, with zeros up to `size` bytes: some thousandth of it in the file."""
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }" % (size // 4)
    head += b" " * (117 - len(head)) + b"\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target, target.open(member, "w", force_zip64=True) as out:
        out.write(b"\x93NUMPY\1\0" + struct.pack("<H", 118) + head)
        for _ in range(40):
            out.write(bytes(1 << 20))
    return file.getvalue()


def declared(content, size):
    """The zip file with another unpacked size in its table of contents."""
    at = content.rindex(b"PK\1\2") + 24
    return content[:at] + struct.pack("<I", size) + content[at + 4 :]


def test_nothing_is_unpacked_that_is_larger_than_it_should_be(changed):
    content = bomb("entropy.npy")
    tracemalloc.start()
    assert "array" in changed(arrays_npz=content)
    assert "array" in changed(arrays_npz=declared(content, 128 + (1 << 20)))
    assert f"{MOST_BYTES:,} are accepted" in changed(arrays_npz=declared(content, 2**32 - 2))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 32 << 20


def test_json_is_counted_and_measured_before_it_is_read(changed):
    assert "nested too deeply" in changed(trace_json=b"[" * 100_000)
    assert f"{MOST_VALUES:,} are accepted" in changed(trace_json=b"[" + b"[]," * MOST_VALUES + b"[]]")
    assert "is accepted" not in changed(trace_json=b'{"a": "' + b"," * (MOST_VALUES + 9) + b'"}')


@pytest.mark.parametrize("name", ["trace.json", "arrays.npz", "hashes.json"])
def test_no_file_is_waited_for(changed, tmp_path, name):
    assert isinstance(changed(), Trace)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(BadFile, match=f"{name} cannot be read .it is no regular file"):
        Trace.load(tmp_path)


def test_parts_of_two_traces_are_none(changed, saved):
    content = json.loads((saved / "trace.json").read_bytes())
    longer = copy.deepcopy(content)
    for name in ("ids", "pieces", "types", "spans", "byte_spans"):
        longer["tokens"][name].append(longer["tokens"][name][0])
    assert "instead of" in changed(trace_json=json.dumps(longer).encode())
    without = content | {"scores": None}
    assert "there are arrays and no scores" in changed(trace_json=json.dumps(without).encode())
    assert "there are scores and no tokens" in changed(trace_json=json.dumps(content | {"tokens": None}).encode())
