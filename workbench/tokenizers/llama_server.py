"""The tokenizer of a running llama-server, by its `/tokenize`.

Behaviour: https://github.com/ggml-org/llama.cpp/blob/b6900/tools/server/README.md (POST /tokenize, POST /detokenize)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from workbench.engines.llama_server_http import post
from workbench.errors import CannotRun, one_line
from workbench.runtime.align import Piece
from workbench.runtime.vocabulary import encoded
from workbench.stages import Tokens
from workbench.tokenizers.base import Ends, own_ids, placed
from workbench.tokenizers.serve import key_of
from workbench.values import clip

if TYPE_CHECKING:
    from workbench.progress import Cancel
    from workbench.setup import TokenizerFlags

TIMEOUT_S = 60.0
NOTE = "a server does not tell the types of tokens: those that need parse_special are taken for control tokens"


class ServerTokenizer:
    """What the server at `address` answers, with the flags that llama-server itself uses for a chat."""

    def __init__(self, address: str, flags: TokenizerFlags) -> None:
        self._address = address.strip().rstrip("/")
        self._adds = flags.add_special is not False
        self._parses = flags.parse_special is not False
        self._control: dict[bytes, bool] = {}

    @property
    def name(self) -> str:
        """The server's address."""
        return f"the server at {self._address}"

    def tokenize(self, text: str, *, cancel: Cancel | None = None) -> Tokens:  # noqa: ARG002  one short call
        """The text's tokens. Errors: `BadRequest`, `CannotRun` where no llama-server answers."""
        encoded(text)
        plain = self._ask(text, adds=False)
        full = self._ask(text, adds=True) if self._adds else plain
        ids = [token for token, _ in full]
        own = [token for token, _ in plain]
        before = next((n for n in range(len(ids) - len(own) + 1) if ids[n : n + len(own)] == own), 0)
        pieces = [Piece(piece, "control" if self._is_control(piece) else "normal") for _, piece in full]
        found = placed(text, ids, pieces, Ends(before, max(0, len(ids) - len(own) - before), "the server"))
        return Tokens(
            found.ids, found.pieces, found.types, found.spans, found.byte_spans, found.added, 0, (*found.notes, NOTE)
        )

    def detokenize(self, tokens: Tokens) -> bytes:
        """What `/detokenize` gives, special tokens as text. Errors: `CannotRun`."""
        found = self._answer("detokenize", {"tokens": own_ids(tokens)})
        return str(found.get("content", "")).encode("utf-8", "surrogatepass")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        """Nothing to close: the server is somebody else's."""

    def _is_control(self, piece: bytes) -> bool:
        """Whether a piece that looks special is one token with `parse_special` and several without."""
        if not self._parses or len(piece) < 3 or not piece.startswith((b"<", b"[")):
            return False
        if piece not in self._control:
            self._control[piece] = len(self._ask(piece.decode("utf-8", "replace"), adds=False, parses=False)) > 1
        return self._control[piece]

    def _ask(self, text: str, *, adds: bool, parses: bool | None = None) -> list[tuple[int, bytes]]:
        flags = {"add_special": adds, "parse_special": self._parses if parses is None else parses}
        found = self._answer("tokenize", {"content": text, "with_pieces": True, **flags})
        try:
            return [(_id(item["id"]), _bytes(item["piece"])) for item in found["tokens"]]
        except (KeyError, TypeError, ValueError) as error:
            raise CannotRun(
                f"what answers at {self._address}/tokenize tells no pieces", "accepted is a llama-server", "update it"
            ) from error

    def _answer(self, call: str, value: dict[str, Any]) -> dict[str, Any]:
        found, error = post(f"{self._address}/{call}", value, TIMEOUT_S, key=key_of(self._address))
        if error is not None or not isinstance(found, dict):
            said = clip(one_line(error["message"]), 200) if error else "the answer is no object"
            raise CannotRun(
                f"{self._address}/{call}: {said}", "accepted is the address of a running llama-server", "start it"
            )
        return found


def _bytes(piece: Any) -> bytes:
    """A piece is text, or a list of bytes where it is no valid UTF-8. Errors: `TypeError`, `ValueError`."""
    if isinstance(piece, str):
        return piece.encode("utf-8")
    if not isinstance(piece, list):  # of a number bytes() would make as many zeros
        raise TypeError(piece)
    return bytes(piece)


def _id(number: Any) -> int:
    """An id as llama.cpp counts them. Errors: `ValueError`."""
    if not isinstance(number, int) or not 0 <= number < 2**31:
        raise ValueError(number)
    return number
