"""How Sphinx builds the documentation, with the checkout as its source: `make docs`."""

project = "FPaaS bench lab"
author = "FPaaS bench lab"
extensions = ["myst_parser", "sphinxcontrib.mermaid"]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "roles/*/README.md", "ARCHITECTURE.md", "CHANGELOG.md"]
# Not walked through; the link in playbooks/collections leads back to the checkout.
exclude_patterns = [".*", "docs/_build", "playbooks", "results"]
html_theme = "furo"
html_title = project
# As on GitHub, so that the sources read well there, too.
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
