"""Where organs are: their boxes, what training cases teach about finding them, and the regions in which to look.

Boxes and lengths of this part are along the volume's own axes (z, y, x), places in the world's mm (x, y, z).
"""
