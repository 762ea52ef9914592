"""Maps that make samples Gaussian: fitted, applied, diagnosed."""
