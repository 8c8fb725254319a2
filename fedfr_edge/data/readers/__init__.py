"""Readers: folders of photographs or of aligned faces into an aligned-face store."""
