"""`python -m pid_jax.cli`."""

from pid_jax.cli.main import main

main()
