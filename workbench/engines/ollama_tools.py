"""Tools as Ollama reads them and hands them on to a Jinja template: what it has no name for is lost.

https://github.com/ollama/ollama/blob/fb30760996871fa9460115c753afd2c60d4ab0f7/api/types.go#L263
"""

from __future__ import annotations

from typing import Any

_DEEPEST = 64  # schemas in one another that are looked into; what stands deeper is handed on as it is
_PROPERTY = ("anyOf", "type", "items", "description", "enum", "properties", "required")


def tools_read(tools: Any) -> list[Any] | None:
    """The tools with the fields that Ollama knows, in its order. Errors: `ValueError` for what it refuses."""
    if tools is None:
        return None
    return [_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]


def _tool(tool: Any, path: str) -> dict[str, Any]:
    given = _object(tool, path)
    function = _object(given.get("function"), f"{path}.function")
    parameters = _object(function.get("parameters"), f"{path}.function.parameters")
    inner = f"{path}.function.parameters"
    found: dict[str, Any] = {"type": _text(parameters.get("type"), f"{inner}.type")}
    found |= {name: parameters[name] for name in ("$defs", "items") if parameters.get(name) is not None}
    found |= {"required": required} if (required := _texts(parameters.get("required"), f"{inner}.required")) else {}
    found["properties"] = _properties(parameters.get("properties"), f"{inner}.properties")
    name = _text(function.get("name"), f"{path}.function.name")
    description = _text(function.get("description"), f"{path}.function.description")
    told = {"name": name} | ({"description": description} if description else {}) | {"parameters": found}
    items = {"items": given["items"]} if given.get("items") is not None else {}
    return {"type": _text(given.get("type"), f"{path}.type"), **items, "function": told}


def _properties(value: Any, path: str, depth: int = 0) -> dict[str, Any] | None:
    if value is None:
        return None
    return {name: _property(one, f"{path}.{name}", depth) for name, one in _object(value, path).items()}


def _property(value: Any, path: str, depth: int) -> dict[str, Any]:
    given = _object(value, path)
    if depth > _DEEPEST:
        return given
    found: dict[str, Any] = {name: given[name] for name in _PROPERTY if given.get(name) not in (None, "", [])}
    if "anyOf" in found:
        found["anyOf"] = [
            _property(one, f"{path}.anyOf[{n}]", depth + 1) for n, one in enumerate(_list(found["anyOf"], path))
        ]
    if isinstance(kinds := found.get("type"), list):
        kinds = _texts(kinds, f"{path}.type")
        found["type"] = kinds[0] if len(kinds) == 1 else kinds
    elif "type" in found:
        _text(kinds, f"{path}.type")
    _text(found.get("description"), f"{path}.description")
    _list(found.get("enum", []), f"{path}.enum")
    _texts(found.get("required"), f"{path}.required")
    if "properties" in found:
        found["properties"] = _properties(found["properties"], f"{path}.properties", depth + 1)
    return found


def _object(value: Any, path: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{path} is no object: Ollama refuses the request")  # noqa: TRY004
    return value


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{path} is no list: Ollama refuses the request")  # noqa: TRY004
    return value


def _texts(value: Any, path: str) -> list[str]:
    return [_text(one, path) for one in _list(value or [], path)]


def _text(value: Any, path: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{path} is no text: Ollama refuses the request")  # noqa: TRY004
    return value
