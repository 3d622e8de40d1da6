"""Drift and noise."""
