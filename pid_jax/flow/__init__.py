"""Maps that bring samples to a Gaussian shape, each variable by itself."""
