"""How sure atoms are: bootstrap intervals."""
