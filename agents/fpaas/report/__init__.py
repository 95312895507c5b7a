"""report.html: one run, on one page that opens offline."""
