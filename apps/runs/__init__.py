"""Watching training runs and telling them apart: scores, plots, TensorBoard, and what `fedfr runs` prints."""
