"""A plot of lines on two logarithmic axes, as SVG and by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from html import escape

__all__ = ("drawn",)

WIDTH, HEIGHT = 760, 460
LEFT, RIGHT, TOP, BOTTOM = 70, 170, 40, 50
COLOURS = [
    "#1b6ca8",
    "#c23b22",
    "#3c8d40",
    "#8a5fa8",
    "#b8860b",
    "#0f8b8d",
    "#d16ba5",
    "#6b6b6b",
    "#7a4a2b",
    "#4b5fd1",
    "#94a121",
]
LINE_HEIGHT = 14.0


def drawn(lines: Mapping[str, Mapping[int, float]]) -> str:
    """The whole file.

    Args:
        lines: Name to points: how many calls, and microseconds for each.
    """
    points = {
        name: [(math.log10(int(x)), math.log10(y)) for x, y in line.items()]
        for name, line in lines.items()
    }
    everything = [point for line in points.values() for point in line]
    axes = _Axes(
        math.floor(min(x for x, _ in everything)),
        math.ceil(max(x for x, _ in everything)),
        math.floor(min(y for _, y in everything)),
        math.ceil(max(y for _, y in everything)),
    )
    parts = [*axes.drawn(), *_curves(points, axes)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


class _Axes:
    """Both axes, from one power of ten to another."""

    def __init__(self, left: int, right: int, bottom: int, top: int) -> None:
        self._left, self._right = left, max(right, left + 1)
        self._bottom, self._top = bottom, max(top, bottom + 1)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point is on the page, given its logarithms."""
        across = (x - self._left) / (self._right - self._left)
        up = (y - self._bottom) / (self._top - self._bottom)
        return (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM),
        )

    def drawn(self) -> Iterator[str]:
        """A grid of the powers of ten, and what they mean."""
        yield (
            f'<text x="{LEFT}" y="20" font-size="14">microseconds for each of so many '
            f"calls at once (both axes logarithmic)</text>"
        )
        for power in range(self._bottom, self._top + 1):
            x, y = self.place(self._left, power)
            yield _grid(x, y, WIDTH - RIGHT, y)
            yield f'<text x="{x - 8:.0f}" y="{y + 4:.1f}" text-anchor="end">{_told(power)}</text>'
        for power in range(self._left, self._right + 1):
            x, y = self.place(power, self._bottom)
            yield _grid(x, y, x, TOP)
            yield f'<text x="{x:.1f}" y="{y + 18:.0f}" text-anchor="middle">{_told(power)}</text>'


def _grid(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#ddd"/>'


def _told(power: int) -> str:
    return f"{10**power:,}".replace(",", " ") if power >= 0 else f"{10.0**power:g}"


def _curves(
    points: Mapping[str, list[tuple[float, float]]], axes: _Axes
) -> Iterator[str]:
    ends = {name: axes.place(*line[-1]) for name, line in points.items()}
    labels = _apart({name: y for name, (_, y) in ends.items()})
    for index, (name, line) in enumerate(points.items()):
        colour = COLOURS[index % len(COLOURS)]
        places = [axes.place(*point) for point in line]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        width = 3 if name.startswith("headrace") else 1.5
        yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        for x, y in places:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
        (x, y), label = ends[name], labels[name]
        right = WIDTH - RIGHT + 14
        yield _leader(x, y, right - 2, label, colour)
        yield (
            f'<text x="{right}" y="{label + 4:.1f}" fill="{colour}">{escape(name)}</text>'
        )


def _leader(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return (
        f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" '
        f'stroke-width="0.5" stroke-dasharray="2 3"/>'
    )


def _apart(heights: Mapping[str, float]) -> dict[str, float]:
    """Heights of labels, moved down where two would touch."""
    placed: dict[str, float] = {}
    last = -math.inf
    for name in sorted(heights, key=heights.__getitem__):
        last = placed[name] = max(heights[name], last + LINE_HEIGHT)
    return placed
