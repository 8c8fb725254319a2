"""``fedfr bench``: what training costs here, measured against plain loops in the same run."""
