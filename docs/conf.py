"""How Sphinx builds the documentation, with the checkout as its source: `make docs`."""

project = "FPaaS bench lab"
author = "FPaaS bench lab"
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "roles/*/README.md", "ARCHITECTURE.md", "CHANGELOG.md"]
# Not walked through; the link in playbooks/collections leads back to the checkout.
exclude_patterns = [".*", "docs/_build", "playbooks", "results"]
html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_js_files = ["readable.js"]
# As on GitHub, so that the sources read well there, too.
myst_heading_anchors = 4
# GitHub draws Mermaid; these pages show its text, as its program would come from elsewhere.
suppress_warnings = ["misc.highlighting_failure"]
