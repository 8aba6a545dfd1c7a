"""How the documentation site is built: `make docs`, into `build/docs`. Every warning is an error there."""

from __future__ import annotations

from pygments.lexers import TextLexer
from sphinx.application import Sphinx

project = "picobridge"
html_title = project
author = project
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}

myst_heading_anchors = 4
nitpicky = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"


def setup(app: Sphinx) -> None:
    app.add_lexer("cbor", TextLexer)  # its diagnostic notation, in mqtt.md
