"""Facts as drawings: for Mermaid, for Graphviz, and as an SVG that needs neither. Any name may stand in them."""

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

SHOWN = 40  # characters of a name


class Edge(NamedTuple):
    subject: str
    predicate: str
    object: str
    concluded: bool = False


def mermaid(edges: Sequence[Edge]) -> str:
    numbers = _numbers(edges)
    lines = ["graph LR"]
    lines += [f'  n{number}["{_entities(_short(name))}"]' for name, number in numbers.items()]
    for edge in edges:
        arrow = "-.->" if edge.concluded else "-->"
        start, end = numbers[edge.subject], numbers[edge.object]
        lines.append(f'  n{start} {arrow}|"{_entities(edge.predicate)}"| n{end}')
    return "\n".join(lines)


def dot(edges: Sequence[Edge]) -> str:
    numbers = _numbers(edges)
    lines = ["digraph knowledge {", "  rankdir=LR;", "  node [shape=box, style=rounded];"]
    lines += [f"  n{number} [label={_quoted(_short(name))}];" for name, number in numbers.items()]
    for edge in edges:
        style = ", style=dashed" if edge.concluded else ""
        start, end = numbers[edge.subject], numbers[edge.object]
        lines.append(f"  n{start} -> n{end} [label={_quoted(edge.predicate)}{style}];")
    return "\n".join([*lines, "}"])


def svg(edges: Sequence[Edge]) -> str:
    """Things on a circle, in the order in which they come up; lines between them."""
    numbers = _numbers(edges)
    radius = max(120, 22 * len(numbers))
    width, height = 2 * radius + 360, 2 * radius + 80
    places: dict[str, tuple[float, float]] = {}
    for name, number in numbers.items():
        angle = 2 * math.pi * number / max(len(numbers), 1) - math.pi / 2
        places[name] = (width / 2 + radius * math.cos(angle), height / 2 + radius * math.sin(angle))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        '<defs><marker id="end" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"'
        ' orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="#667"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for edge in edges:
        (x1, y1), (x2, y2) = places[edge.subject], places[edge.object]
        dashes = ' stroke-dasharray="4 3"' if edge.concluded else ""
        if edge.subject == edge.object:
            shape = f'<path d="M{x1:.0f} {y1:.0f}c-40 -60 40 -60 0 0" fill="none"'
            x, y = x1, y1 - 48
        else:
            length = math.hypot(x2 - x1, y2 - y1) or 1
            x1, y1 = x1 + 14 * (x2 - x1) / length, y1 + 14 * (y2 - y1) / length
            x2, y2 = x2 - 14 * (x2 - x1) / length, y2 - 14 * (y2 - y1) / length
            shape = f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}"'
            x, y = (x1 + x2) / 2, (y1 + y2) / 2 - 4
        parts.append(f'{shape} stroke="#667"{dashes} marker-end="url(#end)"/>')
        parts.append(
            f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" fill="#667">{_entities(edge.predicate)}</text>'
        )
    for name, (x, y) in places.items():
        parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="5" fill="#246"/>')
        parts.append(
            f'<text x="{x:.0f}" y="{y - 10:.0f}" text-anchor="middle" fill="#000">{_entities(_short(name))}</text>'
        )
    return "\n".join([*parts, "</svg>"])


def _numbers(edges: Sequence[Edge]) -> dict[str, int]:
    names = dict.fromkeys(name for edge in edges for name in (edge.subject, edge.object))
    return {name: number for number, name in enumerate(names)}


def _short(name: str) -> str:
    name = "".join(c if c.isprintable() else " " for c in name)
    return name if len(name) <= SHOWN else f"{name[: SHOWN - 1]}…"


def _entities(text: str) -> str:
    """Mermaid reads entities in quoted labels as SVG does; what would end a label is one."""
    return html.escape(text, quote=True).replace("|", "&#124;").replace("`", "&#96;")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
