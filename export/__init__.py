"""Writing models as ONNX: fuse (:mod:`.fuse`), trace (:mod:`.graph`), compare with torch (:mod:`.parity`),
calibrate (:mod:`.calibration`) and write with a manifest (:mod:`.write`).
"""
