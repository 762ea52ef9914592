"""Dimension reduction."""
