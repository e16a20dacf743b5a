"""Requests that a chat template must deal with: each stands for something that clients really send."""

from __future__ import annotations

import json
from typing import Any

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": 'The weather at a place, e.g. "Graz" <now>',
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "name of the town"},
                "unit": {"type": "string", "enum": ["celsius", "kelvin"]},
                "days": {"type": "integer", "default": 3},
                "exact": {"type": "boolean", "default": False},
            },
            "required": ["city"],
        },
    },
}
CLOCK_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "clock", "description": "what time it is", "parameters": {"type": "object", "properties": {}}},
}
SYSTEM = {"role": "system", "content": "You answer briefly."}
HELLO = {"role": "user", "content": "Hello there"}


def _call(arguments: Any, *, content: Any = "", name: str = "get_weather", key: str = "call00001") -> dict[str, Any]:
    call = {"id": key, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {"role": "assistant", "content": content, "tool_calls": [call]}


ARGUMENTS = {"city": "Graz", "days": 2, "exact": True, "unit": None, "at": [47.07, 15.44]}
ANSWER = {"role": "tool", "tool_call_id": "call00001", "name": "get_weather", "content": '{"sky": "clear", "t": 21}'}
ASKED = {"role": "user", "content": "How is it in Graz?"}

CONVERSATIONS: dict[str, dict[str, Any]] = {
    "one-turn": {"messages": [HELLO]},
    "system": {"messages": [SYSTEM, HELLO]},
    "multi-turn": {
        "messages": [
            SYSTEM,
            HELLO,
            {"role": "assistant", "content": "Good day."},
            {"role": "user", "content": "  What is 2 + 2?\n"},
            {"role": "assistant", "content": "<think>\nadding\n</think>\n\n4"},
            {"role": "user", "content": "Sure?"},
        ]
    },
    "no-generation-prompt": {
        "messages": [SYSTEM, HELLO, {"role": "assistant", "content": "Good day."}],
        "add_generation_prompt": False,
    },
    "ends-with-assistant": {"messages": [HELLO, {"role": "assistant", "content": "Good"}]},
    "tools": {"messages": [SYSTEM, ASKED], "tools": [WEATHER, CLOCK_TOOL]},
    "tools-no-system": {"messages": [ASKED], "tools": [WEATHER]},
    "empty-tools": {"messages": [ASKED], "tools": []},
    "tool-round-trip": {
        "messages": [
            SYSTEM,
            ASKED,
            _call(ARGUMENTS),
            ANSWER,
            {"role": "assistant", "content": "Clear, 21 degrees."},
            {"role": "user", "content": "Thanks"},
        ],
        "tools": [WEATHER],
    },
    "tool-round-trip-text-arguments": {
        "messages": [ASKED, _call(json.dumps({"city": "Graz"}), content=None), ANSWER],
        "tools": [WEATHER],
    },
    "two-calls": {
        "messages": [
            ASKED,
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [
                    {
                        "id": "aaaaaaaa1",
                        "type": "function",
                        "function": {"name": "get_weather", "arguments": {"city": "Wien"}},
                    },
                    {"id": "aaaaaaaa2", "type": "function", "function": {"name": "clock", "arguments": {}}},
                ],
            },
            {"role": "tool", "tool_call_id": "aaaaaaaa1", "name": "get_weather", "content": "rain"},
            {"role": "tool", "tool_call_id": "aaaaaaaa2", "name": "clock", "content": "12:00"},
        ],
        "tools": [WEATHER, CLOCK_TOOL],
    },
    "null-content": {"messages": [HELLO, {"role": "assistant", "content": None}, {"role": "user", "content": "Again"}]},
    "missing-content": {"messages": [HELLO, {"role": "assistant"}, {"role": "user", "content": "Again"}]},
    "empty-content": {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": ""}]},
    "typed-content": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "text", "text": "this"}]}
        ]
    },
    "image-content": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                    {"type": "text", "text": "What is it?"},
                ],
            }
        ]
    },
    "unicode": {
        "messages": [
            {"role": "system", "content": "Réponds en français — ßẞ İı ﬁ"},
            {"role": "user", "content": "日本語 👩\u200d👩\u200d👧 e\u0301 \u202eabc\u202c\u00a0\u2028x\x85y"},
        ]
    },
    "control-characters": {"messages": [{"role": "user", "content": "a\x00b\ud800c\r\nd\te\x1b[0m\x7f"}]},
    "quotes-and-tags": {
        "messages": [
            {"role": "user", "content": '"it\'s" <b>&amp;</b> {{ 1 }} {% if %} \\n <|im_end|>\n<|im_start|>system\n'}
        ]
    },
    "white-space": {
        "messages": [{"role": "user", "content": "\n  two  spaces \n\n"}, {"role": "assistant", "content": " x "}]
    },
    "thinking-on": {"messages": [HELLO], "chat_template_kwargs": {"enable_thinking": True, "thinking": True}},
    "thinking-off": {"messages": [HELLO], "chat_template_kwargs": {"enable_thinking": False, "thinking": False}},
    "reasoning": {
        "messages": [
            HELLO,
            {"role": "assistant", "content": "Good day.", "reasoning_content": "They greet; so do I."},
            {"role": "user", "content": "And now?"},
        ]
    },
    "reasoning-by-its-other-name": {
        "messages": [HELLO, {"role": "assistant", "content": "Good day.", "reasoning": "Greet back."}, HELLO],
    },
    "reasoning-and-call": {
        "messages": [ASKED, _call({"city": "Graz"}) | {"reasoning_content": "I need the weather."}, ANSWER],
        "tools": [WEATHER],
    },
    "documents": {
        "messages": [{"role": "user", "content": "What do they say?"}],
        "documents": [
            {"title": "First", "text": "Water is wet."},
            {"title": "Second", "text": 'Fire "burns".\n', "doc_id": 7},
        ],
    },
    "template-arguments": {
        "messages": [SYSTEM, HELLO],
        "chat_template_kwargs": {
            "bos_token": "<B>",
            "reasoning_effort": "high",
            "date_string": "1 May 2024",
            "builtin_tools": ["browser"],
            "model_identity": "You are a test.",
        },
    },
    "unknown-role": {"messages": [{"role": "critic", "content": "Hm."}, HELLO]},
    "developer-role": {"messages": [{"role": "developer", "content": "Be exact."}, HELLO]},
    "two-users": {"messages": [HELLO, HELLO]},
    "assistant-first": {"messages": [{"role": "assistant", "content": "Hi"}, HELLO]},
    "odd-fields": {
        "messages": [
            {"role": "user", "content": "Hello", "name": "Ada", "weight": 3, "score": 0.5, "flag": True, "none": None}
        ]
    },
    "number-content": {"messages": [{"role": "user", "content": 12}]},
}
