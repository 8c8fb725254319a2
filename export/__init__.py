"""Writing models as ONNX: fuse, check against torch, describe."""
