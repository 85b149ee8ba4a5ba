"""The graph from the shell and by REST, of a daemon that runs; and drawings of any names."""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimo.cli.drawing import Edge, dot, mermaid, svg

Mimo = Callable[..., "subprocess.CompletedProcess[str]"]
texts = st.text(max_size=60)
edges = st.lists(st.builds(Edge, texts, texts, texts, st.booleans()), max_size=6)


def test_the_graph_is_shown_drawn_and_served(serve: Callable[..., Any], mimo: Mimo) -> None:
    serve(MIMO_HTTP__ENABLED="on")
    taught = mimo(
        "tool", "knowledge", "operation=teach", 'triples:=[["Ann","manages","Bob"],["Bob","uses","Git"]]'
    )
    assert taught.stdout == "added t1: Ann manages Bob\nadded t2: Bob uses Git\n"
    assert "2 facts" in mimo("graph").stdout
    assert "Ann manages Bob (t1)" in mimo("graph", "bob").stdout
    assert "nothing here is called 'Nobody'" in mimo("graph", "Nobody").stdout
    assert '-->|"manages"|' in mimo("graph", "--mermaid").stdout
    assert "n0 -> n1" in mimo("graph", "Ann", "--depth", "2", "--dot").stdout
    assert ET.fromstring(mimo("graph", "--svg", "--inferred").stdout).tag.endswith("svg")
    assert len(json.loads(mimo("graph", "--json").stdout)["results"]) == 2
    assert "concluded: used_by is the inverse of uses" in mimo("graph", "--inferred").stdout
    assert "Ann manages Bob (t1)" in mimo("graph", "Ann", "--as-of", "2031-05-23").stdout
    assert mimo("graph", "--json", "--svg").returncode == 2
    assert mimo("graph", "--as-of", "soon").returncode != 0

    [door] = [each for each in json.loads(mimo("status", "--json").stdout)["doors"] if each["name"] == "http"]
    token = mimo("token").stdout.strip()

    def rest(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        request = urllib.request.Request(
            door["address"] + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    status, told = rest(
        "POST", "/v1/graph/facts", {"triples": [["Git", "depends_on", "Linux"]], "graph": "user"}
    )
    assert (status, told["results"][0]["op"]) == (201, "added")
    fact = told["results"][0]["id"]
    assert (
        rest("POST", "/v1/graph/query", {"subject": "git", "graph": "user"})[1]["results"][0]["object"]
        == "Linux"
    )
    assert rest("GET", f"/v1/graph/facts/{fact}?graph=user")[1]["said"][0]["speaker"]
    assert rest("GET", "/v1/graph?graph=user")[1]["asserted"] >= 1
    assert rest("DELETE", f"/v1/graph/facts/{fact}?graph=user")[1]["retracted"] == [fact]
    asked = rest("POST", "/v1/graph/ask", {"graph": "user", "text": "what does Git depend on?"})[1]
    assert (asked["by"], asked["results"]) == ("memories", [])
    assert rest("POST", "/v1/graph/query", {"graph": "nowhere"})[0] == 404
    assert rest("POST", "/v1/graph/path", {"graph": "user"})[0] == 422
    assert rest("POST", "/v1/graph/infer", {"graph": "user"})[0] == 200


@given(edges)
def test_any_names_make_a_drawing_of_as_many_lines(given_edges: list[Edge]) -> None:
    """An SVG that is XML, and for the others a line for each thing and each relation."""
    things = {name for edge in given_edges for name in (edge.subject, edge.object)}
    clean = [
        Edge(*("".join(c for c in part if c.isprintable()) for part in edge[:3])) for edge in given_edges
    ]
    assert ET.fromstring(svg(clean)) is not None
    assert len(mermaid(clean).split("\n")) <= 1 + len(things) + len(given_edges)
    assert dot(clean).count("->") >= len(given_edges)


@pytest.mark.parametrize("name", ['a"b', "a|b", "a]b", "<b>", "a\\", "a`b", "x" * 500])
def test_what_would_end_a_label_does_not(name: str) -> None:
    told = mermaid([Edge(name, "p", "q")])
    assert told.count('"') == 6
    assert "<b>" not in told
    assert len(svg([Edge(name, "p", "q")])) < 3_000
