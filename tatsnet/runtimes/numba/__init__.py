"""Sections run row by row in compiled loops, on a CPU: what lies between convolutions never leaves the cache."""
