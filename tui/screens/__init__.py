"""One class for one job of an operator."""
