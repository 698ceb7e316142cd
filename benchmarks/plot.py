"""Plot: figures as horizontal bars in an SVG that reads on light and on dark pages.

Every row of bars has a scale of its own, since rows differ by orders of magnitude; the numbers stand beside the bars.
Knows nothing of what the figures mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.report import OWN, Figure, Result, number

_WIDTH, _NAME, _BAR = 760, 190, 420
_LINE, _GAP, _TITLE = 18, 14, 34

#: Black text of the usual readers and white of the others; syncd stands out, the peers are shades of one grey.
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px } .row { font-weight: 600 } .name { text-anchor: end }
rect { fill: #8c959f } .own { fill: #0969da }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } rect { fill: #6e7681 } .own { fill: #4493f8 } }
"""


def svg(result: Result) -> str:
    """Return the plot of a result's `plots`."""
    groups = result.groups()
    parts: list[str] = []
    y = 8
    for group in result.plots:
        if figures := groups.get(group):
            y = _group(parts, y, group, figures)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}" '
    head += f'role="img" aria-label="{escape(result.title)}">'
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>", ""])


def _group(parts: list[str], y: int, group: str, figures: Sequence[Figure]) -> int:
    parts.append(f'<text class="title" x="8" y="{y + 18}">{escape(group)}</text>')
    y += _TITLE
    for figure in figures:
        parts.append(f'<text class="row" x="8" y="{y + 13}">{escape(figure.what)}</text>')
        y += _LINE + 2
        values = {OWN: figure.value, **figure.peers}
        largest = max((value for value in values.values() if value is not None), default=0.0)
        for name, value in values.items():
            if value is not None:
                _bar(parts, y, name, value, value / largest if largest > 0 else 0.0, figure.unit)
                y += _LINE
        y += _GAP
    return y


def _bar(parts: list[str], y: int, name: str, value: float, share: float, unit: str) -> None:
    width = max(1.0, share * _BAR)
    own = ' class="own"' if name == OWN else ""
    parts += [
        f'<text class="name" x="{_NAME - 8}" y="{y + 13}">{escape(name)}</text>',
        f'<rect{own} x="{_NAME}" y="{y + 2}" width="{width:.1f}" height="{_LINE - 5}" rx="2"/>',
        f'<text x="{_NAME + width + 6:.1f}" y="{y + 13}">{number(value)}{" " + escape(unit) if unit else ""}</text>',
    ]
