"""Aligned-face stores and splits: what training and evaluation read.

A store is made by importing photo folders or aligned folders (``readers``) or by rendering
synthetic people (``synth``), and divided into a public part and clients by a split. No torch here.
"""
