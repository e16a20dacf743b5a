"""Numbers with which llama.cpp's logits become infinite are refused in a sentence; small ones are taken."""

import pytest

from workbench import data
from workbench.conversation import Conversation
from workbench.errors import BadRequest, CannotRun
from workbench.runtime.host import Host
from workbench.setup import Setup


@pytest.mark.model
@pytest.mark.parametrize("name", ["temperature", "repeat_penalty"])
def test_tiny_numbers(name):
    setup = Setup.from_dict({"model": str(data.toolsmith()), "sampling": {"max_tokens": 2}})
    request = Conversation.of([{"role": "user", "content": "x"}])
    with Host(setup) as host:
        for tiny in (1e-45, 1e-38):
            with pytest.raises(BadRequest, match=rf"{name} is .*accepted is .*at least 1e-30"):
                host.generate([1, 2, 3], setup.replace(**{f"sampling.{name}": tiny}).sampling_for(request))
        assert host.generate([1, 2, 3], setup.replace(**{f"sampling.{name}": 1e-20}).sampling_for(request)).ids


@pytest.mark.model
@pytest.mark.parametrize(
    ("sampler", "sampling"),
    [
        ("temperature", {"repeat_penalty": 1e-30, "temperature": 1e-30}),
        ("temperature", {"logit_bias": {"5": 3e38, "6": 3e38}, "temperature": 0.1}),
        ("penalties", {"frequency_penalty": -3e38, "presence_penalty": -3e38}),
    ],
)
def test_numbers_that_make_logits_infinite_together(sampler, sampling):
    setup = Setup.from_dict({"model": str(data.toolsmith()), "sampling": {"max_tokens": 2} | sampling})
    request = Conversation.of([{"role": "user", "content": "x"}])
    with Host(setup) as host:
        with pytest.raises(CannotRun, match=f"the sampler {sampler} left are no numbers"):
            host.generate([1, 2, 3], setup.sampling_for(request))
        assert host.generate([1, 2, 3], Setup().sampling_for(request) | {"max_tokens": 2}).ids
