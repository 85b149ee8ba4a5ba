"""A definition as a picture: Mermaid for documents, SVG for everybody; the state in which a run is stands out."""

from __future__ import annotations

from html import escape

from mimo.services.procedures.bounded import steps_to
from mimo.services.procedures.definition import Definition, State

WIDTH, HEIGHT, ACROSS, DOWN, MARGIN = 150, 46, 60, 64, 30
_COLOURS = {"success": "#2e7d32", "failure": "#b23b3b", None: "#4a5a70"}


def mermaid(definition: Definition, lit: str | None = None) -> str:
    """A state diagram. Names may be Mermaid's own words, so they stand as labels only."""
    ids = {name: f"s{number}" for number, name in enumerate(definition.states)}
    lines = ["stateDiagram-v2", f"    [*] --> {ids[definition.initial]}"]
    for name, state in definition.states.items():
        what = f" ({state.action.type})" if state.action is not None else ""
        lines.append(f'    state "{name}{what}" as {ids[name]}')
        for each in state.transitions:
            guard = f" [{_label(each.guard)}]" if each.guard else ""
            lines.append(f"    {ids[name]} --> {ids[each.to]}: {each.event}{guard}")
        if state.terminal is not None:
            lines.append(f"    {ids[name]} --> [*]")
    if lit in ids:
        lines += [
            "    classDef lit fill:#ffd54a,stroke:#b8860b,stroke-width:3px,color:#000",
            f"    class {ids[lit]} lit",
        ]
    return "\n".join(lines) + "\n"


def svg(definition: Definition, lit: str | None = None) -> str:
    """Rows by how many transitions from the initial state; no scripts, no fonts, nothing from elsewhere."""
    places = _places(definition)
    columns = max(column for column, _ in places.values()) + 1
    rows = max(row for _, row in places.values()) + 1
    width = 2 * MARGIN + columns * WIDTH + (columns - 1) * ACROSS
    height = 2 * MARGIN + rows * HEIGHT + (rows - 1) * DOWN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="system-ui, sans-serif" font-size="13" role="img">',
        f"<title>{escape(definition.name)} {escape(definition.version)}</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8"'
        ' orient="auto-start-reverse"><path d="M0 0L8 4L0 8z" fill="#6b7a90"/></marker></defs>',
    ]
    for name, state in definition.states.items():
        ways: dict[str, list[str]] = {}
        for each in state.transitions:
            ways.setdefault(each.to, []).append(each.event + (" [..]" if each.guard else ""))
        for to, labels in ways.items():
            parts.append(_arrow(places[name], places[to], ", ".join(labels)))
    parts += [_box(name, state, places[name], name == lit) for name, state in definition.states.items()]
    return "".join([*parts, "</svg>"])


def _places(definition: Definition) -> dict[str, tuple[int, int]]:
    """Of each state its column and row."""
    rows = steps_to(definition)
    taken: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for name in sorted(definition.states, key=rows.__getitem__):
        places[name] = (taken.get(rows[name], 0), rows[name])
        taken[rows[name]] = places[name][0] + 1
    return places


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    return MARGIN + place[0] * (WIDTH + ACROSS), MARGIN + place[1] * (HEIGHT + DOWN)


def _box(name: str, state: State, place: tuple[int, int], lit: bool) -> str:
    x, y = _corner(place)
    fill, edge = ("#ffd54a", "#b8860b") if lit else ("#ffffff", _COLOURS[state.terminal])
    what = state.terminal or (state.action.type if state.action is not None else "")
    marked = ' class="lit"' if lit else ""
    return (
        f'<g{marked}><rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="9" fill="{fill}" stroke="{edge}"'
        f' stroke-width="{3 if lit else 1.6}"/><text x="{x + WIDTH // 2}" y="{y + 20}" text-anchor="middle"'
        f' fill="#111">{escape(_short(name, 20))}</text><text x="{x + WIDTH // 2}" y="{y + 36}"'
        f' text-anchor="middle" fill="#667" font-size="11">{escape(what)}</text></g>'
    )


def _arrow(one: tuple[int, int], other: tuple[int, int], label: str) -> str:
    x1, y1 = _corner(one)
    x2, y2 = _corner(other)
    text = escape(_short(label, 28))
    if one == other:  # a loop at the right side
        x, y = x1 + WIDTH, y1 + HEIGHT // 2
        line = f"M{x} {y - 10}C{x + 40} {y - 24} {x + 40} {y + 24} {x} {y + 10}"
        at = (x + 34, y + 4)
    elif other[1] > one[1]:  # down: from foot to head
        x1, y1, x2 = x1 + WIDTH // 2, y1 + HEIGHT, x2 + WIDTH // 2
        middle = (y1 + y2) // 2
        line = f"M{x1} {y1}C{x1} {middle} {x2} {middle} {x2} {y2}"
        # A third of the way down the curve: in the middle those that cross would lie upon each other.
        at = (x1 + round(0.28 * (x2 - x1)), y1 + round(0.38 * (y2 - y1)) + 4)
    elif other[1] == one[1]:  # along: straight to a neighbour, over the heads of those between
        back = 1 if x2 > x1 else -1
        if abs(one[0] - other[0]) == 1:
            x1, x2, y = (x1 + WIDTH, x2, y1 + 14) if back == 1 else (x1, x2 + WIDTH, y1 + 32)
            line = f"M{x1} {y}L{x2} {y}"
            at = ((x1 + x2) // 2, y - 5)
        else:
            x1, x2 = x1 + WIDTH // 2 + 20 * back, x2 + WIDTH // 2 - 20 * back
            line = f"M{x1} {y1}C{x1 + 30 * back} {y1 - 34} {x2 - 30 * back} {y1 - 34} {x2} {y1}"
            at = ((x1 + x2) // 2, y1 - 30)
    else:  # up: from side to side, so that it does not lie on the way down
        y1, y2 = y1 + HEIGHT // 2, y2 + HEIGHT // 2
        if x1 == x2:  # around the left
            line = f"M{x1} {y1}C{x1 - 40} {y1} {x1 - 40} {y2} {x2} {y2}"
            at = (x1 + 24, y1 - HEIGHT // 2 - 8)
        else:
            x1, x2 = (x1, x2 + WIDTH) if x1 > x2 else (x1 + WIDTH, x2)
            line = f"M{x1} {y1}C{(x1 + x2) // 2} {y1} {(x1 + x2) // 2} {y2} {x2} {y2}"
            at = ((x1 + x2) // 2, (y1 + y2) // 2 - 6)
    return (
        f'<path d="{line}" fill="none" stroke="#6b7a90" stroke-width="1.4" marker-end="url(#tip)"/>'
        f'<text x="{at[0]}" y="{at[1]}" text-anchor="middle" fill="#456"'
        f' font-size="11" stroke="#fff" stroke-width="3" paint-order="stroke">{text}</text>'
    )


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _label(guard: str) -> str:
    """Mermaid ends a label at a semicolon, and begins a note with a colon."""
    return _short(guard, 60).replace(";", ",").replace(":", " ").replace("\n", " ").replace('"', "'")
