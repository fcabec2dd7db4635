"""Layer 1: the results store. Owns file names, schemas, atomic writes, scans and SQL.

Imports nothing of ours.
"""
