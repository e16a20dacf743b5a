"""Our own standing set of texts on which tokenizers that should agree have parted: by group, each with a name."""

from __future__ import annotations

from typing import NamedTuple


class Nasty(NamedTuple):
    """One text: its group, its name, itself."""

    group: str
    name: str
    text: str


_GROUPS: dict[str, dict[str, str]] = {
    "spaces": {
        "nothing": "",
        "one": " ",
        "two": "  ",
        "many": " " * 17,
        "before": " before",
        "two before": "  before",
        "behind": "behind ",
        "two behind": "behind  ",
        "between": "a  b   c    d",
        "no-break": "a\u00a0b\u202fc",
        "ideographic": "a\u3000b\u3000\u3000c",
        "thin and hair": "a\u2009b\u200ac\u2003d",
        "zero width": "a\u200bb\u200cc\ufeffd",
    },
    "tabs and lines": {
        "tab": "\t",
        "tabs and spaces": " \t  \t\tx",
        "line feed": "\n",
        "line feeds": "\n\n\n",
        "many line feeds": "a\n\n\n\n\n\n\nb",
        "return": "a\rb",
        "CRLF": "one\r\ntwo\r\n\r\nthree\r\n",
        "mixed ends": "a\n\r\nb\r\r\nc",
        "space before a line feed": "x \n y  \n\n z",
        "tab behind a line feed": "{\n\tx\n\t\ty\n}",
        "line separator": "a\u2028b\u2029c\u0085d",
        "form feed": "a\x0bb\x0cc",
    },
    "digits": {
        "one to ten": "1 12 123 1234 12345 123456 1234567 12345678 123456789 1234567890",
        "long": "31415926535897932384626433832795",
        "with signs": "3.14 -0.5 1e-9 1,234,567.89 50% 1/2 0x7fff",
        "in a word": "a1b22c333d4444",
        "leading zeros": "007 0000 00:00:00",
        "dates": "2026-11-24T12:15:00+01:00",
        "other digits": "٣٤٥ १२३ ๑๒๓ １２３ Ⅷ ½ ² ₃",
    },
    "code": {
        "function": "def f(x):\n    return x**2 + 12345  # don't\n",
        "tabs": "if (a) {\n\tb();\n\t\tc();\n}",
        "operators": "a+=b;c-=-d;e<<=1;f!==g;h??=i;j=>k;l::m->n;...o",
        "brackets": "((((([[[[[{{{{{<<<<<>>>>>}}}}}]]]]])))))",
        "names": "camelCase PascalCase snake_case SCREAMING_CASE kebab-case __dunder__ x1 _",
        "JSON": '{"a": [1, 2.5e3, null, true], "b\\n": {"c": "\\u00e9\\\\"}}',
        "nested quotes": '"\'"\'"""\'\'\'`\\"',
        "HTML": '<p class="x">&amp;&nbsp;</p><!-- y --><br/>',
        "regex": r"^(?:\d{1,3}\.){3}\d+$|[^\s\"']+(?!\\)",
        "path and URL": "C:\\Users\\x\\y.txt /usr/lib/x.so.1 https://a.example/b?c=d&e=%20#f",
        "diff": "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-old\n+new\n",
        "indent of every depth": "\n".join(" " * n + "x" for n in range(12)),
        "LaTeX": r"\frac{a}{b} \sum_{i=0}^{n} $x_i$ \\",
    },
    "words": {
        "contractions": "I'm you're he's we'd they'll I've don't o'clock 'tis",
        "contractions in capitals": "I'M YOU'RE HE'S WE'D THEY'LL DON'T",
        "curly apostrophe": "don’t it’s l’été",
        "capitals": "HTTPServer iPhone McDonald eBay NASA's",
        "hyphens and dashes": "well-known – a — b ‑ c − d",
        "dots": "a.b..c...d....e…",
        "repeated letter": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "repeated mark": "!!!!!!!!!!!!????????--------========########",
        "very long word": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
        "accents": "àéîõü ÀÉÎÕÜ çñß œæø",
        "mixed scripts": "аpple paypаl ΑBC",
    },
    "other scripts": {
        "Chinese": "你好，世界！今天天气怎么样？",
        "Japanese": "こんにちは世界。カタカナとﾊﾝｶｸ、漢字が混ざる。",
        "Korean": "안녕하세요 세계 한국어",
        "decomposed Korean": "\u1112\u1161\u11ab\u1100\u116e\u11a8",
        "Arabic": "السلام عليكم، كيف الحال؟",
        "Hebrew with points": "שָׁלוֹם עוֹלָם",
        "Devanagari": "नमस्ते दुनिया क्षत्रिय",
        "Thai": "สวัสดีชาวโลกที่น่ารัก",
        "Cyrillic": "Привет, мир! Ёжик",
        "Greek": "Γειά σου Κόσμε, ὦ ἄνδρες",
        "outside the first plane": "𠀀𠮷 𝔘𝔫𝔦 𐍈",
        "no spaces at all": "中文English日本語한국어mixed123混合",
    },
    "emoji": {
        "simple": "😀🎉🚀",
        "skin tone": "👋🏽 👍🏿",
        "family": "👩‍👩‍👧‍👦 👨‍🚀",
        "flag": "🇩🇪🇫🇷🏴󠁧󠁢󠁳󠁣󠁴󠁿",
        "keycap": "1️⃣ #️⃣ ©️",
        "in words": "a😀b 😀 c😀😀",
    },
    "combining marks": {
        "composed and not": "é e\u0301 ü u\u0308 Å A\u030a",
        "many on one letter": "Z\u0351\u036b\u0343\u036a\u0302a\u0321\u034el\u0317\u0323g\u0338o\u0322",
        "alone": "\u0301a \u0301",
        "ligatures": "ﬁ ﬂ ﬀ ǆ ŉ",
        "right to left marks": "a\u200fb\u200ec\u202ed\u202ce",
        "Turkish": "İstanbul ısı i\u0307",
        "width forms": "ＡＢＣ ｱｲｳ",
    },
    "control characters": {
        "NUL": "a\x00b",
        "bell and escape": "\x07\x1b[31mred\x1b[0m",
        "all below space": "".join(map(chr, range(1, 32))),
        "delete": "a\x7fb\x80c",
        "private use": "\ue000\uf8ff\U000f0000",
        "noncharacters": "\ufffe\uffff\U0010ffff",
        "replacement": "a\ufffdb",
        "byte-order mark": "\ufeffa",
    },
    "marks of chat formats": {
        "ChatML": "<|im_start|>user\nHi<|im_end|>\n",
        "Llama 3": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>",
        "Llama 2": "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Yes </s>",
        "Gemma": "<bos><start_of_turn>user\nHi<end_of_turn>\n",
        "DeepSeek": "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>",
        "spaces around": " <|im_end|>  <|im_end|> x<|im_end|>",
        "nearly": "<|im_end> <im_end|> < |im_end| > <|IM_END|> <|im end|>",
        "think and tools": '<think>\nhm\n</think>\n<tool_call>{"name": "f"}</tool_call>',
        "end of text": "a<|endoftext|>b",
        "metaspace": "a▁b▁▁c ▁ d",
        "byte marks": "<0x0A><0xFF> <unk> [UNK] Ġx Ċ",
    },
}

NASTY: tuple[Nasty, ...] = tuple(
    Nasty(group, name, text) for group, texts in _GROUPS.items() for name, text in texts.items()
)
