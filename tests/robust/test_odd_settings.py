"""Settings with odd values: refused in one sentence, or run; logits that are no numbers are told, never scored."""

import math

import gguf
import numpy as np
import pytest

from tests.gguf import tiny
from workbench.data import toolsmith
from workbench.errors import BadRequest, CannotRun, WorkbenchError
from workbench.quality import measure
from workbench.runtime.host import Host
from workbench.setup import RUNTIME_DEFAULTS, Setup
from workbench.trace import trace

pytestmark = pytest.mark.model

IDS = list(range(3, 63))
NO_NUMBERS = {"rope_freq_base": 1e-45, "rope_freq_scale": 3e38, "yarn_ext_factor": 3e38, "yarn_attn_factor": 1e10}
ODD = (math.nan, math.inf, -1, 0, 1, 0.5, 1e-30, 2**31 - 1, 2**31, 1e39, 10**400, "x", "", [], {}, [math.nan], True)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*vars(RUNTIME_DEFAULTS)])
def test_every_key_takes_every_value_or_says_why_not(name):
    assert Setup.from_dict({"model": "m", "runtime": {name: None}}) == Setup(model="m")
    with Host(Setup(model=str(toolsmith()))) as host:
        for value in ODD:
            found = scored(host, {"n_threads": 1} | {name: value})
            if isinstance(found, WorkbenchError):
                assert type(found) in (BadRequest, CannotRun)
                assert "\n" not in str(found)
            else:
                assert np.isfinite(found.logprob[:-1]).all(), value


def scored(host, runtime):
    """The scores, or the error in their place."""
    try:
        host.use(Setup.from_dict({"model": str(toolsmith()), "runtime": runtime}))
        return host.score(IDS)
    except WorkbenchError as error:
        return error


@pytest.mark.parametrize("name", NO_NUMBERS)
def test_a_setting_that_leaves_no_numbers_is_told(name):
    plain = Setup.from_dict({"model": str(toolsmith()), "runtime": {"n_threads": 1, "n_ubatch": 16}})
    setup = plain.replace(**{f"runtime.{name}": NO_NUMBERS[name]})
    with Host(setup) as host:
        for _ in range(2):  # the second time nothing of the first one is taken for a result
            with pytest.raises(CannotRun, match=r"logits behind token \d+ are no numbers"):
                host.score(IDS)
        found = trace([{"role": "user", "content": "Hi"}], setup, host=host)
        assert found.stopped.stage == "scores"
        assert found.tokens is not None
        with pytest.raises(CannotRun, match="are no numbers"):
            host.generate(IDS, setup.sampling_for(found.conversation))
        host.use(plain)
        assert np.isfinite(host.score(IDS).logprob[:-1]).all()
    with pytest.raises(CannotRun, match="are no numbers"):
        measure(plain, [setup], "one two three four five six " * 30, n_ctx=64)


def test_a_weight_that_is_no_number_is_told(tmp_path):
    path = tiny.model_file(tmp_path / "tiny.gguf")
    reader = gguf.GGUFReader(path, "r+")
    weights = next(tensor for tensor in reader.tensors if tensor.name == "output.weight")
    weights.data.reshape(-1)[-1] = math.nan  # of the last token alone
    reader.data.flush()
    with Host(Setup(model=str(path))) as host, pytest.raises(CannotRun, match="behind token 0 are no numbers"):
        host.score([10, 11, 12])
