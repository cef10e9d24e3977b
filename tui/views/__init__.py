"""Human and JSON output of one answer."""
