"""How Sphinx builds these pages: `make docs`."""

project = "FPaaS bench lab"
author = "FPaaS bench lab"
extensions = ["myst_parser", "sphinxcontrib.mermaid"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = project
# Anchors of headings and ```mermaid blocks as on GitHub, so that the sources read well there, too.
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
myst_fence_as_directive = ["mermaid"]
