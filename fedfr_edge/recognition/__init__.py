"""From an aligned face to a decision, on the device: encoder, thresholds, gallery, vault, login.

Nothing here needs torch or Flower; onnxruntime is imported when a model is opened.
"""
