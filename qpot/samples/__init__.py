"""Losses that are means over samples."""
