"""The algorithm itself, and the verdict."""
