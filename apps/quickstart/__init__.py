"""The steps of ``fedfr quickstart``."""
