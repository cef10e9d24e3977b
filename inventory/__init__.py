"""What should be: the declarative inventory of the province's network."""
