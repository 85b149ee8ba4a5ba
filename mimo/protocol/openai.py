"""The part of OpenAI's API that clients of it can use here: which models there are, and embeddings."""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from mimo.errors import InvalidArguments, NotFound

# As the original has it.
MOST_INPUTS = 2048

MODEL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": {"type": "integer"},
        "owned_by": {"type": "string"},
    },
}
EMBEDDINGS_TAKE: dict[str, Any] = {
    "type": "object",
    "required": ["input", "model"],
    "properties": {
        "input": {
            "anyOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                    "minItems": 1,
                    "maxItems": MOST_INPUTS,
                },
            ]
        },
        "model": {"type": "string"},
        "encoding_format": {"type": "string", "enum": ["float", "base64"], "default": "float"},
        "dimensions": {"type": "integer"},
        "user": {"type": "string"},
    },
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be embedded, and how it is to be given."""

    texts: Sequence[str]
    model: str
    as_base64: bool = False


def read_embeddings(body: dict[str, Any], model: str, dimension: int) -> Wanted:
    """Raises: InvalidArguments; NotFound for a model that is not ours."""
    given: object = body.get("input")
    texts = (
        [given] if isinstance(given, str) else cast("list[object]", given if isinstance(given, list) else [])
    )
    if not 1 <= len(texts) <= MOST_INPUTS:
        raise _wrong("input", f"input must be text, or 1..{MOST_INPUTS} texts")
    if not all(isinstance(text, str) and text for text in texts):
        raise _wrong(
            "input", "each input must be text, and not empty; tokens of other models mean nothing here"
        )
    asked: object = body.get("model")
    if not isinstance(asked, str):
        raise _wrong("model", f"model must be text; there is: {model}")
    if asked not in names_of(model):
        raise NotFound(f"no model {asked[:100]!r}; there is: {model}", field="model")
    encoding: object = body.get("encoding_format", "float")
    if encoding not in {"float", "base64"}:
        raise _wrong("encoding_format", "encoding_format must be float or base64")
    if body.get("dimensions", dimension) != dimension:
        raise _wrong("dimensions", f"{model} gives {dimension} dimensions, no others")
    return Wanted(cast("list[str]", texts), asked, encoding == "base64")


def embeddings(wanted: Wanted, vectors: Sequence[bytes], tokens: int) -> dict[str, Any]:
    """The response. Each vector is float32, little-endian."""
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": number, "embedding": _shown(vector, wanted.as_base64)}
            for number, vector in enumerate(vectors)
        ],
        "model": wanted.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def models(ids: Sequence[str], created: int) -> dict[str, Any]:
    return {"object": "list", "data": [model(each, created) for each in ids]}


def model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "mimo"}


def names_of(model: str) -> Sequence[str]:
    """The full name, which says which weights; and what people call it."""
    return tuple(dict.fromkeys((model, model.partition("@")[0].partition(":")[0])))


def _shown(vector: bytes, as_base64: bool) -> Any:
    if as_base64:
        return base64.b64encode(vector).decode()
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()


def _wrong(field: str, message: str) -> InvalidArguments:
    return InvalidArguments(message, field=field)
