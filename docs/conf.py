"""Configuration of the documentation: `sphinx-build -W docs build/docs`."""

from optuna_robust import __version__


project = "optuna_robust"
author = "The founders of optuna_robust"
release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["make_*.py"]
templates_path: list[str] = []
html_theme = "furo"
html_title = "optuna_robust"
html_show_copyright = False

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_use_rtype = False

# Roles must resolve, but for what other projects document (no inventory is read over the network),
# for private types in signatures, and for names that are imported for type checkers only.
nitpicky = True
_FOR_TYPE_CHECKERS = (
    "BasePruner|BaseSampler|CriterionLike|Executor|FloatArray|FrozenTrial|InitVar|Known|Path|"
    "ObjectiveIdentity|Phase|Source|Study|StudyDirection|Target|Trial"
)
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(collections|concurrent|numpy|optuna|pandas|pathlib|plotly|sqlalchemy|torch)\..*",
    ),
    (r"py:.*", r"(go|np|npt|pd|sa|torch|nn)\..*"),
    (r"py:class", r"optuna_robust\._.*"),
    (r"py:class", _FOR_TYPE_CHECKERS),
]
