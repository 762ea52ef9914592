"""Laws, problems and systems for tests of any estimator."""
