"""One jointly Gaussian problem: covariances, whitening, information, status."""
