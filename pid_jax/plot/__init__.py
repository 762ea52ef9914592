"""Figures of a study, one a file; what they are called and when they are drawn; captions and style."""
