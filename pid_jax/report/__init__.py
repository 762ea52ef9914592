"""The report of a study: one HTML page that holds its figures, numbers and settings."""
