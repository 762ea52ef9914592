"""Whole extractions: settings, jobs, workers, stores."""
