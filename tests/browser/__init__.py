"""Tests of the page of a study in a browser."""
