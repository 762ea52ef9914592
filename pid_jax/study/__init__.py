"""From activation stores to a labeled dataset: models x tasks x conditions x layers."""
