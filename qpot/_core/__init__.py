"""Conversions, progress, executors, outcomes."""
