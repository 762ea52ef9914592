"""Validate a decomposition: random problems, systems with known atoms, and laws, for estimators of any origin."""
