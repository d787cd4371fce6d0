"""Writes figures: interactive HTML and the CSV behind it always, PNG where a Chrome or Chromium is found.

The HTML files share one copy of plotly.js beside them and open without a network. Every file is rendered whole in
memory and then put in place atomically, so an interrupted export leaves old files or new ones, never a part.

Packages that only writing needs are imported when something is written.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import plotly.graph_objects as go

from analysis.figures.canvas import Drawing
from trainer.files import write_atomically

NO_BROWSER = "no PNG: no Chrome or Chromium found; `apt-get install chromium` or `plotly_get_chrome` brings one"
SCALE = 2  # PNG pixels a figure's pixel


def export(drawings: Sequence[Drawing], folder: Path, suffix: str = "", png: bool = True) -> list[Path]:
    """Writes <name><suffix>.html, .csv and, with `png`, .png for every drawing and returns the paths.

    Call with `png` only if `browser` finds one.
    """
    from plotly.offline import get_plotlyjs

    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "plotly.min.js", get_plotlyjs().encode())
    written = []
    for drawing in drawings:  # before the pictures: a browser that is there but does not start must cost nothing else
        for ending, content in ((".html", _html(drawing.figure)), (".csv", drawing.data.to_csv(index=False).encode())):
            written.append(folder / f"{drawing.name}{suffix}{ending}")
            write_atomically(written[-1], content)
    for drawing, image in zip(drawings, _render([d.figure for d in drawings]) if png else (), strict=png):
        written.append(folder / f"{drawing.name}{suffix}.png")
        write_atomically(written[-1], image)
    return written


def browser() -> str | None:
    """The Chrome or Chromium that would render a PNG (BROWSER_PATH, plotly's own download, PATH, usual places)."""
    from choreographer.browsers.chromium import Chromium

    found = Chromium.find_browser(skip_local=False)
    return str(found) if found and os.access(found, os.X_OK) else None


def _html(figure: go.Figure) -> bytes:
    page: str = figure.to_html(include_plotlyjs="directory", config={"displaylogo": False, "responsive": False})
    return page.encode()


def _render(figures: Sequence[go.Figure]) -> list[bytes]:
    """One browser for all of them: starting it costs seconds, a figure tenths."""
    import kaleido

    async def render() -> list[bytes]:
        async with kaleido.Kaleido(n=1, mathjax=False) as painter:  # MathJax would come from the network
            return [await painter.calc_fig(_plain(figure), opts=_image(figure)) for figure in figures]

    return asyncio.run(render())


def _plain(figure: go.Figure) -> dict[str, object]:
    plain: dict[str, object] = figure.to_dict()
    return plain


def _image(figure: go.Figure) -> dict[str, object]:
    return {"format": "png", "scale": SCALE, "width": figure.layout.width, "height": figure.layout.height}
