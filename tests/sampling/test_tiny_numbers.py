"""Numbers so small that llama.cpp's logits become infinite are refused in a sentence; small ones are taken."""

import pytest

from workbench import data
from workbench.conversation import Conversation
from workbench.errors import BadRequest
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
