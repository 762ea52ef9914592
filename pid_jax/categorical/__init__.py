"""What two sources tell about a categorical answer, from samples."""
