"""Writing models as ONNX: fuse (:mod:`.fuse`), trace (:mod:`.graph`), compare with torch (:mod:`.parity`),
calibrate (:mod:`.calibration`), try other precisions (:mod:`.variants`), write with a manifest
(:mod:`.write`), and tell about it (:mod:`.card`).
"""
