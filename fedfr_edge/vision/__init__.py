"""From a photograph to aligned faces: reading, detecting, choosing, aligning, judging quality.

Needs numpy and OpenCV; onnxruntime or insightface only once a detector that uses them is opened.
"""
