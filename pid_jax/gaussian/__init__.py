"""Jointly Gaussian variables: blocks, covariance estimators, information."""
