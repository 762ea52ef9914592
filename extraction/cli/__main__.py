"""`python -m extraction.cli`, for launchers such as torchrun."""

from extraction.cli.main import main

main()
