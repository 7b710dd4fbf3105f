"""Sphinx's settings: ``python -m sphinx -W -q docs out``."""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

import pictures  # noqa: E402

from kmgpu import __version__  # noqa: E402

pictures.site(DOCS / "_pictures")

project = "kmgpu"
author = project_copyright = "The kmgpu developers"
release = version = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
exclude_patterns = ["_pictures"]
html_theme = "pydata_sphinx_theme"
html_title = "kmgpu"
html_theme_options = {"show_prev_next": False, "header_links_before_dropdown": 4}
html_sidebars = {"*": []}  # pages without pages below them
html_show_copyright = False
html_copy_source = False
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
default_role = "literal"
