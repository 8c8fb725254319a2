"""The backbones Θ: SphereFace-10/20/64, IResNet-18/34/50/100 and MobileFaceNet.

:mod:`.spec` says which one (no torch), :mod:`.backbone` builds it, :mod:`.weights` loads published weights.
"""
