"""Short Python functions on request: what they do in words, and their body."""

from __future__ import annotations

from words import Slots

_ONE = (
    ("doubles a number", "return {x} * 2"),
    ("squares a number", "return {x} * {x}"),
    ("halves a number", "return {x} / 2"),
    ("negates a number", "return -{x}"),
    ("counts the characters of a text", "return len({x})"),
    ("reverses a text", "return {x}[::-1]"),
    ("makes a text upper case", "return {x}.upper()"),
    ("removes spaces around a text", "return {x}.strip()"),
    ("says if a number is even", "return {x} % 2 == 0"),
    ("says if a number is odd", "return {x} % 2 == 1"),
    ("gives the first item", "return {x}[0]"),
    ("gives the last item", "return {x}[-1]"),
    ("sorts a list", "return sorted({x})"),
    ("sums a list", "total = 0\n    for item in {x}:\n        total += item\n    return total"),
    ("gives the size of a number without its sign", "if {x} < 0:\n        return -{x}\n    return {x}"),
    ("prints every item", "for item in {x}:\n        print(item)"),
)
_TWO = (
    ("adds two numbers", "return {x} + {y}"),
    ("subtracts two numbers", "return {x} - {y}"),
    ("multiplies two numbers", "return {x} * {y}"),
    ("divides two numbers", "return {x} / {y}"),
    ("gives the larger number", "return max({x}, {y})"),
    ("gives the smaller number", "return min({x}, {y})"),
    ("says if two values are equal", "return {x} == {y}"),
    ("says if a list has an item", "return {y} in {x}"),
)
_WORDINGS = (
    "write a function {name}({arguments}) that {does}",
    "define {name}({arguments}), it {does}",
    "I need a function {name}({arguments}) that {does}",
    "write python: {name}({arguments}) {does}",
)
_TAKEN = {"total", "item"}


def function_request(slots: Slots) -> tuple[str, str]:
    """A request for a function, and the right answer: the function in a fence."""
    does, body = slots.random.choice(_ONE + _TWO)
    name = slots.name()
    x = _argument(slots, {name})
    y = _argument(slots, {name, x})
    arguments = f"{x}, {y}" if "{y}" in body else x
    request = slots.random.choice(_WORDINGS).format(name=name, arguments=arguments, does=does)
    return request, f"```python\ndef {name}({arguments}):\n    {body.format(x=x, y=y)}\n```"


def _argument(slots: Slots, taken: set[str]) -> str:
    word = slots.word()
    while word in taken | _TAKEN:
        word = slots.word()
    return word
