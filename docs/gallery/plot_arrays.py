"""
Arbitrary arrays
================
"""
print(1)
