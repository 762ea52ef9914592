"""Settings of the documentation site. `make docs` builds it into docs/_build/html."""

import os
import sys
from pathlib import Path

# Figures and numbers of the tutorial are those of a CPU wherever the site is built.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "_extensions")]

import pid_jax  # noqa: E402

project = "pid_jax"
author = "The pid_jax authors"
copyright = f"2026, {author}"
version = release = pid_jax.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "written_signatures",
    "site_links",
]
exclude_patterns = ["_build", "gallery", "auto_gallery/**/*.ipynb"]
highlight_language = "text"
smartquotes_action = "D"  # dashes; quotes and dots stay as they are typed

myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

# Docstrings have names in single backticks: links where they are public, code elsewhere.
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 80

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Links to the documentation of others need a network, so they are made on request.
if os.environ.get("DOCS_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "jax": ("https://docs.jax.dev/en/latest", None),
        "xarray": ("https://docs.xarray.dev/en/stable", None),
    }

# Every gallery/plot_*.py is a page. They run in alphabetic order; docs/gallery/GALLERY_HEADER.rst is above them.
sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "notebook_extensions": set(),
    "download_all_examples": False,
    "write_computation_times": False,
    "show_signature": False,
    "min_reported_time": float("inf"),
    "remove_config_comments": True,
}

html_theme = "furo"
html_title = "pid_jax"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
