"""Who embeds is a setting; what a setting lacks is said at once."""

import pytest

from mimo.embedding.box import Box
from mimo.embedding.choice import chosen
from mimo.embedding.remote import Remote
from mimo.errors import Unusable


def test_the_box_needs_nothing() -> None:
    assert isinstance(chosen("box"), Box)


@pytest.mark.parametrize("provider", ["ollama", "openai"])
def test_a_service_has_its_own_model_and_dimension(provider: str) -> None:
    embedder = chosen(provider, model="nomic", url="http://127.0.0.1:9/v1", key="k", dim=768, batch=7)
    assert isinstance(embedder, Remote)
    assert embedder.dim == 768
    assert "nomic" in embedder.model


@pytest.mark.parametrize(
    ("said", "lacking"),
    [({"dim": 3}, "embedding.model"), ({"model": "m"}, "embedding.dimension")],
)
def test_what_a_service_lacks_is_named(said: dict[str, object], lacking: str) -> None:
    with pytest.raises(Unusable, match=lacking):
        chosen("ollama", **said)  # type: ignore[arg-type]


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(Unusable, match="box, ollama or openai"):
        chosen("oracle", model="m", dim=3)
