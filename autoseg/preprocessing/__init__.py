"""Raw volumes to prepared cases, and network outputs back to the volumes' own grids."""
