"""A figure for somewhere else: a page of its own, a picture, another size.

HTML always works. A picture needs a Chromium or Chrome, which kaleido drives; without one, the error says what to install.
"""

from __future__ import annotations

import html as markup
import json
import logging
from typing import Literal

import plotly.graph_objects as go
import plotly.io as pio

from hare_lab.errors import InputError
from hare_lab.figures import look, maps

FORMATS = ("html", "png", "svg", "pdf")
CONFIG = {
    "displaylogo": False,
    "responsive": False,  # names on a map are placed for this size
    "scrollZoom": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "zoom2d", "pan2d"],
    "toImageButtonOptions": {"scale": 2},
}
# The page may run its own script and nothing may reach out of it, whatever text got in.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' {scripts}; style-src 'unsafe-inline'; "
    "img-src data: blob:; connect-src data: blob:; worker-src blob:"
)
STYLE = (
    f"body{{margin:0;background:{look.PAPER};color:{look.INK};font-family:{look.FONT}}}figure{{margin:0 auto;width:fit-content}}"
    f"figcaption{{max-width:70ch;padding:0 24px 24px;line-height:1.5;color:{look.QUIET}}}"
)


def html(figure: go.Figure, caption: str = "", *, cdn: bool = False) -> str:
    """A page that needs nothing else: opens from a disk, a mail or a server, with no network (4.8 MB of it is plotly.js).

    Parameters
    ----------
    figure : any plotly figure
    caption : plain text under the figure, also what a screen reader says of it; default: the figure's own
    cdn : load plotly.js over the network instead of carrying it
    """
    meta = figure.layout.meta if isinstance(figure.layout.meta, dict) else {}
    words = markup.escape(caption or str(meta.get("caption", "")))
    body = figure.to_html(full_html=False, include_plotlyjs="cdn" if cdn else True, config=CONFIG, div_id="figure", validate=False)
    policy = POLICY.format(scripts="https:" if cdn else "")
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<title>{words or "Figure"}</title><style>{STYLE}</style></head>\n'
        f'<body><figure><div role="img" aria-label="{words}">{body}</div><figcaption>{words}</figcaption></figure></body></html>\n'
    )


def image(figure: go.Figure, format: Literal["png", "svg", "pdf"] = "png", *, theme: str | None = None, scale: float = 2.0) -> bytes:
    """The figure as a picture, in its own theme or another.

    Parameters
    ----------
    scale : pixels of the picture a pixel of the figure; for png only (svg and pdf have no pixels but a map's points)

    Raises
    ------
    InputError
        If the format is none of the three, or there is no browser or no kaleido to draw it.
    """
    if format not in ("png", "svg", "pdf"):
        raise InputError(f'picture format "{format}" is unknown; choose png, svg or pdf (HTML comes from figures.html)')
    if not has_browser():
        raise InputError(
            "a picture needs kaleido and a browser: pip install kaleido, and install Chromium or Chrome (or set BROWSER_PATH to one); "
            "HTML needs neither"
        )
    shown = themed(figure, theme) if theme else figure
    logging.getLogger("choreographer").setLevel(logging.ERROR)  # its start and stop are no news to a person who asked for a picture
    logging.getLogger("kaleido").setLevel(logging.ERROR)
    picture: bytes = pio.to_image(shown, format=format, scale=scale if format == "png" else 1, validate=False)
    return picture


def has_browser() -> bool:
    """Whether `image` can work here: kaleido is installed and a browser is where it looks. Starts nothing."""
    try:
        import kaleido  # noqa: F401
        from choreographer.browsers.chromium import Chromium
    except ImportError:
        return False
    return Chromium.find_browser(skip_local=False) is not None


def from_json(text: str) -> go.Figure:
    """A figure from what `Figure.to_json` wrote.

    Raises
    ------
    InputError
        If the text holds no plotly figure.
    """
    try:
        return go.Figure(**{part: value for part, value in json.loads(text).items() if part in ("data", "layout", "frames")})
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"this is no stored plotly figure ({str(error).splitlines()[0][:80]}); make it again with the notebook that drew it"
        ) from error


def themed(figure: go.Figure, theme: str) -> go.Figure:
    """A copy of one of our figures at the sizes of another theme; any other figure takes the fonts and colours only.

    Raises
    ------
    InputError
        If there is no such theme.
    """
    look.theme_of(theme)
    copy = go.Figure(json.loads(figure.to_json()))
    if not isinstance(copy.layout.meta, dict) or "theme" not in copy.layout.meta:
        return copy.update_layout(template=f"hare-{theme}")
    dressed = look.dressed(copy, theme)
    return maps.fit(dressed) if "frame" in dressed.layout.meta else dressed
