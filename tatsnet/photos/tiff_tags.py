"""Tags of TIFF 6.0 that both reading and writing know."""

from __future__ import annotations

XMP, IPTC, ICC, PHOTOSHOP = 700, 33723, 34675, 34377

PIXEL_TAGS = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291, 292}
    | {
        293,
        301,
        317,
        318,
        319,
        320,
        321,
        322,
        323,
        324,
        325,
        330,
        332,
        333,
        334,
        336,
        337,
        338,
        339,
        340,
        341,
        342,
        343,
    }
    | {344, 345, 346, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532}
)
"""How the pixels of the file lie and what their numbers mean: not true of the file that is written."""

NO_EXIF = PIXEL_TAGS | {XMP, IPTC, ICC, PHOTOSHOP}
"""Tags that an EXIF block does not take: they are no longer true, or have a place of their own."""
