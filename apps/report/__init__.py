"""``fedfr report``: results that other commands wrote, read back and put on one page.

:mod:`.read` reads the files, :mod:`.study_pages` and :mod:`.gather` make of them what a page shows,
:mod:`.paper` lays methods out as the paper's tables do, :mod:`.faces` fetches the hardest pairs of faces.
"""
