"""The site: ``sphinx-build -W docs build/site``, with what ``pip install '.[docs]'`` brings."""

from __future__ import annotations

import sys
from pathlib import Path

import shoal

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "shoal"
author = "shoal developers"
copyright = "shoal developers"
version = release = shoal.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "sphinx_design",
    "examples",
    "formulas",
    "gallery",
    "links",
    "mathml",
    "pages",
]
exclude_patterns = ["_ext", "claims", "README.md"]
templates_path: list[str] = []
nitpicky = False

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
suppress_warnings = ["myst.strikethrough"]

numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
default_role = "code"

html_theme = "furo"
html_title = f"shoal {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "native"
copybutton_exclude = ".linenos, .gp, .go"
