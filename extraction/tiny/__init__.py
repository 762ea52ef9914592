"""Training of the small LLaVAs that ship with the package, and their weights."""
