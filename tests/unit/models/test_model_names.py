"""Where a model's name leads."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from minirag.adapters.models.model_names import ProviderAccess, route_model
from minirag.errors import ProviderRejected

LITELLM = SimpleNamespace(provider_list=["openai", "ollama", "mistral"])
BASE = "http://127.0.0.1:1/v1"


def test_without_a_base_url_the_name_is_litellms_own() -> None:
    routed = route_model(LITELLM, "mistral/small", ProviderAccess(api_key="k"))

    assert routed == {"model": "mistral/small", "api_key": "k"}


@pytest.mark.parametrize(
    ("name", "routed"),
    [
        ("llama3", "openai/llama3"),
        ("meta-llama/Llama-3", "openai/meta-llama/Llama-3"),
        ("openai/gpt-4o-mini", "openai/gpt-4o-mini"),
        ("ollama/llama3:8b", "ollama/llama3:8b"),
        ("openai", "openai/openai"),
    ],
)
def test_with_a_base_url_unknown_prefixes_go_there_by_the_openai_protocol(
    name: str, routed: str
) -> None:
    arguments = route_model(LITELLM, name, ProviderAccess(BASE, "k"))

    assert arguments == {"model": routed, "api_base": BASE, "api_key": "k"}


def test_a_local_server_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    assert route_model(LITELLM, "llama3", ProviderAccess(BASE))["api_key"] == "none"
    assert route_model(LITELLM, "ollama/llama3", ProviderAccess(BASE))["api_key"] is None


def test_the_variable_of_openai_is_not_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-the-environment")

    assert route_model(LITELLM, "llama3", ProviderAccess(BASE))["api_key"] is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "two words",
        "huggingface/http://evil.example/v1",
        "openai//evil.example",
        "../../etc/passwd",
        "a/../b",
        "/absolute",
        "-flag",
        "name\n",
        "naïve",
        "x" * 201,
        "name?query=1",
        "user@host#fragment",
    ],
)
def test_what_cannot_be_a_name_is_refused_before_anything_is_called(name: str) -> None:
    for access in (ProviderAccess(), ProviderAccess(BASE, "k")):
        with pytest.raises(ProviderRejected):
            route_model(LITELLM, name, access)
